/** What Counterfoil says of a token that is good (RFC 7662 §2.2). */
export type Introspection = {
  active: true
  /** Scopes, separated by spaces. */
  scope: string
  client_id: string
  /** The subject of the owner, or of a service the id of the token. */
  sub: string
  /** The id of the token. */
  jti: string
  iss: string
  /** Seconds since 1970, as all instants here; a token without it never expires. */
  exp?: number
  iat: number
  nbf?: number
  aud?: string[]
  username?: string
  /** The key of the organization. */
  organization: string
  /** The token type. */
  type: string
  token_name: string
  endpoint?: string
}

export type Answer = Introspection | { active: false }

/** What the feed says: forget the token with this hash, or else all of the organization, of the type, or everything. */
export type Revocation = {
  id: string
  at: string
  reason: 'revoked' | 'deleted' | 'secret_ended' | 'changed' | 'suspended' | 'reset'
  organization: string | null
  type: string | null
  token_id: string | null
  /** SHA-256 in base64url. */
  hash: string | null
}
