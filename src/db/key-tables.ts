// The tables of keys and of what they sign.
import type { PublicJwk, SealedJwk, SigningAlg } from '../keys/sealed.ts'
import type { Json, JsonOrNull } from './tables.ts'

export type SigningKeysTable = {
  kid: string
  alg: SigningAlg
  publicJwk: Json<PublicJwk>
  /** Null once it no longer signs. */
  sealedPrivateJwk: JsonOrNull<SealedJwk>
  createdAt: Date
  activatesAt: Date
  /** When its successor takes over. */
  retiresAt: Date | null
  /** When its signatures stopped being valid. */
  retiredAt: Date | null
}

/** A public key that a client signs with. */
export type ClientJwk = {
  kty: 'OKP' | 'EC' | 'RSA'
  kid?: string
  alg?: string
  use: 'sig'
  crv?: string
  x?: string
  y?: string
  n?: string
  e?: string
}

/** Exactly one of the two is set. */
export type ClientKeysTable = {
  organizationId: string
  tokenId: string
  jwks: JsonOrNull<{ keys: ClientJwk[] }>
  jwksUri: string | null
  createdAt: Date
  updatedAt: Date
}

export type ClientAssertionsTable = {
  tokenId: string
  jtiHash: Buffer
  expiresAt: Date
}

export type StatusListsTable = {
  id: string
  organizationId: string
  size: number
  /** How many more tokens it can take. */
  free: number
  createdAt: Date
}

export type StatusListEntriesTable = {
  listId: string
  idx: number
  tokenId: string
}
