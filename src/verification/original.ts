const fields = ['x-original-uri', 'x-original-url', 'x-forwarded-uri'] as const

/**
 * Whether the request that a gateway asks about has a token in its query (RFC 6750 §2.3). There it is never read, since
 * URLs are logged; and beside a token in a header field, one service might look at the one and one at the other.
 */
export function hasTokenInQuery(
  headers: Record<string, string | string[] | undefined>,
  url: string | undefined,
): boolean {
  return isIn(url) || fields.some((name) => [headers[name]].flat().some(isIn))
}

function isIn(url: string | undefined): boolean {
  const start = url?.indexOf('?') ?? -1
  if (url === undefined || start < 0) return false
  return new URLSearchParams(url.slice(start + 1)).has('access_token')
}
