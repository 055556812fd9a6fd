import { timingSafeEqual } from 'node:crypto'
import { v5 as uuid } from 'uuid'
import { type Caller, reaches } from '../../access/caller.ts'
import { type Credential, seconds, unused } from '../../access/credential.ts'
import type { Db } from '../../db/database.ts'
import { AppError } from '../../shared/errors.ts'
import type { Secret } from '../../shared/secret.ts'
import type { Token } from '../store.ts'
import { findOrganizationWithType, hasOrganization } from './store.ts'

/**
 * AUTH_SECRET: a secret in the configuration that is accepted like a SCIM token of its organization. Neither the secret
 * nor its hash is in the database: it may not be random, so a hash could be guessed.
 */
export type StaticSecret = { secret: Secret /** The key or id. */; organization: string }

const name = 'environment'
const type = 'scim'

/** Its id in the organization; no issued token can have the same id. */
export function staticTokenId(organizationId: string): string {
  return uuid(name, organizationId)
}

/** For looking up its hash, which is not in the database. */
export function staticSecretLookup(db: Db, staticSecret: StaticSecret) {
  return {
    hash: staticSecret.secret.hashText(),
    // Digests have equal length and do not reveal how much of the secret is right.
    is: (hash: Buffer) => timingSafeEqual(staticSecret.secret.hash(), hash),
    find: () => staticCredential(db, staticSecret),
  }
}

/** Its credential, if the organization and type exist, even if suspended. */
async function staticCredential(
  db: Db,
  { secret, organization }: StaticSecret,
): Promise<Credential | undefined> {
  const found = await findOrganizationWithType(db, organization, type)
  if (!found) return undefined
  const tokenId = staticTokenId(found.organizationId)
  const { createdAt, lastUsedAt, lastUsedIp, ownType: _, ...rest } = found
  const use = { ...unused, isStatic: true as const, validUntil: null, lapsesAt: null }
  const issuedAt = seconds(createdAt)
  return {
    ...rest,
    ...unlimited,
    ...use,
    hash: secret.hashText(),
    tokenId,
    secretId: tokenId,
    name,
    type,
    issuedAt,
  }
}

/** Its entry among the organization's tokens; undefined if it belongs to another organization. */
export async function staticToken(
  db: Db,
  staticSecret: StaticSecret | undefined,
  organizationId: string,
): Promise<Token | undefined> {
  if (!staticSecret) return undefined
  const found = await findOrganizationWithType(db, staticSecret.organization, type)
  if (found?.organizationId !== organizationId) return undefined
  const { organizationKey, createdAt, ownType, scopes, audience, endpoint, lastUsedAt, lastUsedIp } = found
  return {
    ...unlimited,
    organizationId,
    organizationKey,
    id: staticTokenId(organizationId),
    type,
    ownType,
    name,
    comment: "AUTH_SECRET, which is set in Counterfoil's configuration.",
    scopes,
    audience,
    expiryWarning: null,
    endpoint,
    metadata: {},
    hint: '…',
    secretId: staticTokenId(organizationId),
    secretCreatedAt: createdAt,
    rotateEveryDays: null,
    hash: staticSecret.secret.hash(),
    revokedBy: null,
    revokedReason: null,
    lastUsedAt,
    lastUsedIp,
    version: 1,
    createdAt,
    createdBy: { type: 'system', id: name, name: 'AUTH_SECRET' },
    updatedAt: createdAt,
    readOnly: true,
  }
}

/** Why it is not accepted, for the log at startup. */
export async function staticSecretWarnings(
  db: Db,
  staticSecret: StaticSecret | undefined,
): Promise<string[]> {
  if (!staticSecret || (await findOrganizationWithType(db, staticSecret.organization, type))) return []
  if (await hasOrganization(db, staticSecret.organization))
    return [`There is no token type ${type}: AUTH_SECRET is rejected until it is created.`]
  return [
    'AUTH_SECRET_ORGANIZATION is not the key or id of any organization: AUTH_SECRET is rejected until one is created.',
  ]
}

const advice = "AUTH_SECRET can only be changed or removed in Counterfoil's configuration."

/** Throws if this is the static secret, which cannot be changed here, and the caller may know that it exists. */
export async function rejectStaticSecret(
  db: Db,
  { principal }: Caller,
  staticSecret: StaticSecret,
  secret: Secret,
): Promise<void> {
  const { is, find } = staticSecretLookup(db, staticSecret)
  const fixed = is(secret.hash()) ? await find() : undefined
  if (fixed && reaches(principal, fixed.organizationId)) throw new AppError('built_in', advice)
}

/** Throws if this is the static token, which cannot be changed here. */
export function rejectStaticToken(organizationId: string, id: string): void {
  if (id === staticTokenId(organizationId)) throw new AppError('built_in', advice)
}

const unlimited = {
  ownerSubject: null,
  ownerEmail: null,
  ownerSource: null,
  ownerSuspendedAt: null,
  notBefore: null,
  expiresAt: null,
  revokedAt: null,
  allowedCidrs: null,
  narrowedTo: null,
}
