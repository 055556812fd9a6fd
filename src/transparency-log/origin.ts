/** The name of a log (C2SP tlog-checkpoint): its URL without a scheme. */
export function originOf(issuer: string): string {
  return `${issuer.replace(/^https?:\/\//, '')}/v1/transparency-log`
}
