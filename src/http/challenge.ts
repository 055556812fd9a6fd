import type { AppError } from '../errors.ts'

/** The WWW-Authenticate challenge of RFC 6750 §3 for an error; undefined where none is due. */
export function bearerChallenge({ code, message, scope }: AppError): string | undefined {
  const realm = 'Bearer realm="counterfoil"'
  if (code === 'unauthenticated' || code === 'invalid_client') return realm
  if (code !== 'invalid_token' && code !== 'insufficient_scope') return undefined
  const named = scope ? `, scope="${scope}"` : ''
  return `${realm}, error="${code}", error_description="${message}"${named}`
}
