import { parseCookie, stringifySetCookie } from 'cookie'
import { Secret } from '../shared/secret.ts'

export const sessionCookie = (publicUrl: string) => hostCookie(publicUrl, { label: 'counterfoil' })

/** Binds a sign-in at a provider to the browser that started it, for ten minutes. */
export const signInCookie = (publicUrl: string) =>
  hostCookie(publicUrl, { label: 'counterfoil-sign-in', maxAge: 10 * 60 })

/**
 * A cookie with a secret. Over HTTPS its name starts with `__Host-`: browsers then accept it only from this host itself
 * and with Secure, so that no other host of the domain can plant a session here. Without HTTPS, which is for
 * http://localhost only, some browsers would not store such a cookie. Browsers send it when another site navigates
 * here, as an issuer does at the end of a sign-in, but not with its other requests (SameSite=Lax).
 */
function hostCookie(publicUrl: string, { label, maxAge }: { label: string; maxAge?: number }) {
  const secure = publicUrl.startsWith('https:')
  const attributes = {
    name: secure ? `__Host-${label}` : label,
    ...({ path: '/', httpOnly: true, sameSite: 'lax' } as const),
    secure,
  }
  return {
    read(header: string | undefined): Secret | undefined {
      const value = header === undefined ? undefined : parseCookie(header)[attributes.name]
      return value === undefined || value === '' ? undefined : new Secret(value)
    },
    set: (secret: Secret) =>
      stringifySetCookie({ ...attributes, value: secret.reveal(), ...(maxAge && { maxAge }) }),
    clear: stringifySetCookie({ ...attributes, value: '', maxAge: 0 }),
  }
}

export type SessionCookie = ReturnType<typeof hostCookie>
