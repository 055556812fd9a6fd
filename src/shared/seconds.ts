/** A NumericDate (RFC 7519 §2), as RFC 7662 uses it. */
export function seconds(date: Date): number {
  return Math.floor(date.getTime() / 1000)
}
