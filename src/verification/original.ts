const fields = ['x-original-uri', 'x-original-url', 'x-forwarded-uri'] as const

/**
 * Whether the original request has a token in its query (RFC 6750 §2.3). Such tokens are never accepted, since URLs are
 * logged. Together with a token in a header field, the gateway and the service might use different ones.
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
