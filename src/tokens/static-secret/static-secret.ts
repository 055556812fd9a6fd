import { timingSafeEqual } from 'node:crypto'
import { v5 as uuid } from 'uuid'
import { type Caller, reaches } from '../../access/caller.ts'
import type { Credential } from '../../credentials/credential.ts'
import { unused } from '../../credentials/use.ts'
import type { Db } from '../../db/database.ts'
import { AppError } from '../../errors.ts'
import { seconds } from '../../introspection/seconds.ts'
import type { Secret } from '../secret.ts'
import type { Token } from '../store.ts'
import { findOrganizationWithType, hasOrganization } from './store.ts'

/**
 * AUTH_SECRET: one secret that whoever runs Counterfoil sets in its environment, and that is good wherever a SCIM
 * token of its organization is. It is nowhere in the database, not even its hash: nothing says that it is random.
 */
export type StaticSecret = { secret: Secret /** Key or id. */; organization: string }

const name = 'environment'
const type = 'scim'

/** The id that it has in the organization; no token that was issued can have it. */
export function staticTokenId(organizationId: string): string {
  return uuid(name, organizationId)
}

/** For whoever looks hashes up in the database, where this one is not. */
export function staticSecretLookup(db: Db, environment: StaticSecret) {
  return {
    hash: environment.secret.hashText(),
    // Digests have one length and show nothing of how much of the secret is right.
    is: (hash: Buffer) => timingSafeEqual(environment.secret.hash(), hash),
    find: () => environmentCredential(db, environment),
  }
}

/** What it stands for, if its organization and type are there, be they suspended. */
async function environmentCredential(
  db: Db,
  { secret, organization }: StaticSecret,
): Promise<Credential | undefined> {
  const found = await findOrganizationWithType(db, organization, type)
  if (!found) return undefined
  const tokenId = staticTokenId(found.organizationId)
  const { createdAt, lastUsedAt, lastUsedIp, ...rest } = found
  const use = { ...unused, isStatic: true as const }
  const issuedAt = seconds(createdAt)
  return { ...rest, ...unlimited, ...use, hash: secret.hashText(), tokenId, name, type, issuedAt }
}

/** How it shows among the tokens of the organization; undefined if it is not one of theirs. */
export async function staticToken(
  db: Db,
  environment: StaticSecret | undefined,
  organizationId: string,
): Promise<Token | undefined> {
  if (!environment) return undefined
  const found = await findOrganizationWithType(db, environment.organization, type)
  if (found?.organizationId !== organizationId) return undefined
  const { organizationKey, createdAt, scopes, audience, endpoint, lastUsedAt, lastUsedIp } = found
  return {
    ...unlimited,
    organizationId,
    organizationKey,
    id: staticTokenId(organizationId),
    type,
    name,
    comment: 'AUTH_SECRET, which is set and changed where Counterfoil runs.',
    scopes,
    audience,
    expiryWarning: null,
    endpoint,
    metadata: {},
    hint: '…',
    hash: environment.secret.hash(),
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

/** What keeps it from being accepted, for the log of the start. */
export async function environmentWarnings(db: Db, environment: StaticSecret | undefined): Promise<string[]> {
  if (!environment || (await findOrganizationWithType(db, environment.organization, type))) return []
  if (await hasOrganization(db, environment.organization))
    return [`There is no token type ${type}: AUTH_SECRET is refused until it is created.`]
  return [
    'AUTH_SECRET_ORGANIZATION is not the key or id of any organization: AUTH_SECRET is refused until one is created.',
  ]
}

const advice = 'AUTH_SECRET is changed and removed where Counterfoil runs, and there only.'

/** Throws if it is this secret that is to be changed, and the caller may know. */
export async function refuseStaticSecret(
  db: Db,
  { principal }: Caller,
  environment: StaticSecret,
  secret: Secret,
): Promise<void> {
  const { is, find } = staticSecretLookup(db, environment)
  const fixed = is(secret.hash()) ? await find() : undefined
  if (fixed && reaches(principal, fixed.organizationId)) throw new AppError('built_in', advice)
}

/** Throws if it is this token that is to be changed. */
export function refuseStaticToken(organizationId: string, id: string): void {
  if (id === staticTokenId(organizationId)) throw new AppError('built_in', advice)
}

const unlimited = {
  ownerSubject: null,
  ownerEmail: null,
  ownerSource: null,
  notBefore: null,
  expiresAt: null,
  revokedAt: null,
  allowedCidrs: null,
  narrowedTo: null,
}
