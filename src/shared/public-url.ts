const parts = /^https?:\/\/([^/?#\\]*)(.*)$/s
const path = /^(?:\/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*\/?$/

/** Why PUBLIC_URL cannot be used, if so: one sentence without the value, which may contain a password. */
export function publicUrlProblem(text: string): string | undefined {
  const [, authority, rest = ''] = parts.exec(text) ?? []
  if (authority === undefined) return 'must start with http:// or https://'
  if (authority.includes('@')) return 'has credentials: remove everything up to the @'
  if (/[?#]/.test(rest)) return 'has a query or a fragment: remove it'
  if (!URL.canParse(text) || /^$|\s|:0*$/.test(authority))
    return 'has a malformed host, or a port that is not between 1 and 65535'
  // `iss` is compared byte by byte and clients append paths to it, so it must survive proxies and parsers unchanged.
  if (!path.test(rest))
    return 'has a path that is not like /prefix: use letters, digits and -._~ only, and no dot at the start of a segment'
  return undefined
}

/** The path of PUBLIC_URL, such as `/prefix`, or an empty string. A proxy strips it before requests arrive here. */
export function basePathOf(publicUrl: string): string {
  return new URL(publicUrl).pathname.replace(/\/$/, '')
}
