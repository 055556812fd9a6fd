import { type Caller, isUser, reaches, type User } from '../access/caller.ts'
import type { Db } from '../db/database.ts'
import type { Organization } from '../db/tables.ts'
import { reachableOrganization } from '../organizations/lookup.ts'
import { AppError } from '../shared/errors.ts'
import type { SecretHash } from '../shared/secret.ts'
import { findTokenIn } from './find-store.ts'
import { type StaticSecret, staticToken, staticTokenId } from './static-secret/static-secret.ts'
import * as store from './store.ts'
import { onlyOwner, presentedToken } from './token-owner-scope.ts'

/** The id of a token, and the key or id of its organization. */
export type Which = { organization: string; token: string }

export async function getToken(
  db: Db,
  caller: Caller,
  which: Which,
  staticSecret: StaticSecret | undefined,
): Promise<store.Token> {
  const { organizationId, token } = await reachableToken(db, caller, which)
  const self = onlyOwner(caller, 'tokens:read')
  return visible(token ?? (await fixed(db, { organizationId, id: which.token }, staticSecret)), self)
}

/** The token that a secret was issued for, unless the secret has ended; regardless of the caller's access. */
export async function findByHash(db: Db, hash: SecretHash): Promise<store.Token | undefined> {
  return store.findTokenByHash(db, hash)
}

/** A user who signed in, with the organization that the sign-in belongs to. */
export type SignedIn = { user: User; organization: Organization }

/** The token that the caller presented, or the user who signed in. */
export async function getSelf(
  db: Db,
  caller: Caller,
  staticSecret: StaticSecret | undefined,
): Promise<store.Token | SignedIn> {
  const { principal } = caller
  if (isUser(principal)) {
    const organization = await reachableOrganization(db, caller, principal.organizationId)
    return { user: principal, organization }
  }
  const key = presentedToken(caller)
  return visible((await store.findToken(db, key)) ?? (await fixed(db, key, staticSecret)), undefined)
}

/** If the token is not found, a second statement determines whether the caller reaches the organization. */
export async function reachableToken(
  db: Db,
  caller: Caller,
  which: Which,
): Promise<{ organizationId: string; token: store.Token | undefined }> {
  const token = await findTokenIn(db, which.organization, which.token)
  if (token && reaches(caller.principal, token.organizationId)) {
    return { organizationId: token.organizationId, token }
  }
  const organization = await reachableOrganization(db, caller, which.organization)
  return { organizationId: organization.id, token: undefined }
}

/** The static token, which is not in the database, if this is its id. */
async function fixed(
  db: Db,
  { organizationId, id }: { organizationId: string; id: string },
  staticSecret: StaticSecret | undefined,
): Promise<store.Token | undefined> {
  if (id !== staticTokenId(organizationId)) return undefined
  return staticToken(db, staticSecret, organizationId)
}

export function visible(token: store.Token | undefined, owner: string | undefined): store.Token {
  if (token && (owner === undefined || token.ownerSubject === owner)) return token
  throw new AppError('not_found', 'There is no such token.')
}
