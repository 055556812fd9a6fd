export type VerificationCode = 'invalid_token' | 'insufficient_scope' | 'unavailable'

/**
 * Why a token is not taken. `invalid_token`: it is not good, or not for this audience. `insufficient_scope`: it is good,
 * for something else. `unavailable`: whether it is good is not known, so it must not be let through either.
 */
export class VerificationError extends Error {
  override readonly name = 'VerificationError'
  readonly code: VerificationCode

  constructor(code: VerificationCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}
