import type { AppError, ErrorCode } from '../shared/errors.ts'

const bearerErrors: Partial<Record<ErrorCode, string>> = {
  invalid_token: 'invalid_token',
  insufficient_scope: 'insufficient_scope',
  ambiguous_credentials: 'invalid_request',
}

/** The WWW-Authenticate challenge of RFC 6750 §3 for an error; undefined if the error has none. */
export function bearerChallenge({ code, message, scope }: AppError): string | undefined {
  const realm = 'Bearer realm="counterfoil"'
  if (code === 'unauthenticated' || code === 'invalid_client') return realm
  const error = bearerErrors[code]
  if (!error) return undefined
  const named = scope ? `, scope="${scope}"` : ''
  return `${realm}, error="${error}", error_description="${message}"${named}`
}

/**
 * The challenges of endpoints that also accept HTTP Basic. RFC 6749 §5.2: a client that used the Authorization header
 * is challenged with the scheme it used.
 */
export function challenges(error: AppError, basic: boolean): string[] {
  const bearer = bearerChallenge(error)
  if (!bearer) return []
  const basicChallenge = 'Basic realm="counterfoil", charset="UTF-8"'
  if (error.code === 'unauthenticated' || error.code === 'invalid_client') return [bearer, basicChallenge]
  return basic && error.code === 'invalid_token' ? [basicChallenge] : [bearer]
}
