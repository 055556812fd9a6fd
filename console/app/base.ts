const meta = (name: string) => document.querySelector<HTMLMetaElement>(`meta[name=counterfoil-${name}]`)

/** The path of PUBLIC_URL, before `/console/` and `/v1/`. */
export const basePath = meta('base')?.content ?? ''

/** Whether this page was requested with the cookie of a session, which may have ended. */
export const hasSession = meta('session') !== null

/** The address of the API, as other programs use it. */
export const apiUrl = `${location.origin}${basePath}`
