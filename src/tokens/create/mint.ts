import type { Db } from '../../db/database.ts'
import { holdActiveSigner, type Signing, signJwt } from '../../keys/signing.ts'
import { invalidValue } from '../../shared/errors.ts'
import { generateSecret, Secret } from '../../shared/secret.ts'
import { allocateIndex } from '../../status-lists/allocate.ts'
import { claimsOf, type TokenFacts, typOf } from '../claims.ts'
import type { TypeRules } from './rules-store.ts'

/** The issuer of secrets, and the keys that sign them. */
export type Issuing = { issuer: string; signing: Signing }

/** A new secret, and the kid of the key that signed it if it is a JWT. */
export type Minted = { secret: Secret; signedBy: string | null }

type NewFacts = { type: TypeRules; organizationId: string }

/** The limit of /introspect; longer ones would not fit into a header either. */
const longestJwt = 8000

/** A new secret of a token, in the format of its type. */
export async function mintSecret(
  tx: Db,
  { issuer, signing }: Issuing,
  { type, organizationId, ...facts }: Omit<TokenFacts, 'type' | 'status'> & NewFacts,
): Promise<Minted> {
  if (type.format === 'opaque') {
    const label = type.carriesOrganization ? `${type.prefix}_${facts.organizationKey}` : type.prefix
    return { secret: generateSecret(label), signedBy: null }
  }
  const { id: tokenId, secretId, createdAt: now } = facts
  const status = type.statusList
    ? await allocateIndex(tx, issuer, { organizationId, tokenId, secretId, now })
    : undefined
  const claims = claimsOf({ ...facts, type: type.name, status }, issuer)
  const signer = await holdActiveSigner(tx, signing, now)
  const jwt = await signJwt(signer, typOf(claims), claims)
  if (jwt.length > longestJwt)
    throw invalidValue(
      'scopes',
      `and audience make a JWT of ${jwt.length} characters; the limit is ${longestJwt}`,
    )
  return { secret: new Secret(jwt), signedBy: signer.kid }
}
