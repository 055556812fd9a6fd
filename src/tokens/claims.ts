import type { JWTPayload } from 'jose'
import type { StatusReference } from '../status-lists/allocate.ts'

/** The facts about a token that its JWT states. */
export type TokenFacts = {
  id: string
  /** The id of the secret, which is the JWT itself. */
  secretId: string
  type: string
  organizationKey: string
  ownerSubject: string | null
  scopes: string[]
  audience: string[]
  notBefore: Date | null
  expiresAt: Date | null
  /** When the secret was created. */
  createdAt: Date
  /** Where its status is published; undefined if its type uses no status list. */
  status: StatusReference | undefined
}

/**
 * The members that introspection returns, and the token's index in a status list. Instants are in whole seconds,
 * rounded so that the token is never valid for longer.
 */
export function claimsOf(token: TokenFacts, issuer: string): JWTPayload {
  const { id, scopes, audience, notBefore, expiresAt } = token
  const iat = Math.floor(token.createdAt.getTime() / 1000)
  return {
    iss: issuer,
    sub: token.ownerSubject ?? id,
    ...(audience.length > 0 && { aud: audience }),
    client_id: id,
    iat,
    nbf: notBefore ? Math.ceil(notBefore.getTime() / 1000) : iat,
    ...(expiresAt && { exp: Math.floor(expiresAt.getTime() / 1000) }),
    jti: token.secretId,
    ...(scopes.length > 0 && { scope: scopes.join(' ') }),
    organization: token.organizationKey,
    type: token.type,
    ...(token.status && { status: { status_list: token.status } }),
  }
}

const required = ['iss', 'exp', 'aud', 'sub', 'client_id', 'iat', 'jti']

/** `at+jwt` promises all that RFC 9068 §2.2 requires, which includes audience and expiry. */
export function typOf(claims: JWTPayload): 'at+jwt' | 'JWT' {
  return required.every((claim) => claims[claim] !== undefined) ? 'at+jwt' : 'JWT'
}
