/** The introspection response for a good token (RFC 7662 §2.2). */
export type Introspection = {
  active: true
  /** Scopes, separated by spaces. */
  scope: string
  client_id: string
  /** The subject of the owner, or the token's id for a service token. */
  sub: string
  /** The id of the token. */
  jti: string
  iss: string
  /** Seconds since 1970, like all instants here; missing if the token never expires. */
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

/**
 * An event of the feed: invalidates the token with this hash, or all tokens of the owner, organization or type, or all
 * tokens.
 */
export type Revocation = {
  id: string
  at: string
  reason: 'revoked' | 'deleted' | 'secret_ended' | 'changed' | 'suspended' | 'reset'
  organization: string | null
  type: string | null
  /** Also null if the server is too old to suspend owners. */
  owner?: string | null
  token_id: string | null
  /** SHA-256 in base64url. */
  hash: string | null
}
