export type VerificationCode = 'invalid_token' | 'insufficient_scope' | 'unavailable'

/**
 * Why a token is rejected. `invalid_token`: it is not good, or not for this audience. `insufficient_scope`: it is good,
 * but lacks a scope. `unavailable`: its state cannot be determined, so it must be rejected too.
 */
export class VerificationError extends Error {
  override readonly name = 'VerificationError'
  readonly code: VerificationCode

  constructor(code: VerificationCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}
