/** A NumericDate of RFC 7519 §2, as RFC 7662 has it. */
export function seconds(date: Date): number {
  return Math.floor(date.getTime() / 1000)
}
