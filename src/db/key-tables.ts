// The tables of keys, and of what is signed with them.
import type { PublicJwk, SealedJwk, SigningAlg } from '../keys/sealed.ts'
import type { Json, JsonOrNull } from './tables.ts'

export type SigningKeysTable = {
  kid: string
  alg: SigningAlg
  publicJwk: Json<PublicJwk>
  /** Null once it has signed for the last time. */
  sealedPrivateJwk: JsonOrNull<SealedJwk>
  createdAt: Date
  activatesAt: Date
  /** When its successor takes over. */
  retiresAt: Date | null
  /** Since when nothing that it signed verifies. */
  retiredAt: Date | null
}

/** A public key that a client signs with, and what it says of itself. */
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

/** Of the two there is one. */
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
  /** How many tokens it will still take. */
  free: number
  createdAt: Date
}

export type StatusListEntriesTable = {
  listId: string
  idx: number
  tokenId: string
}
