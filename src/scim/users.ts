import { validate as isUuid, v7 as uuid } from 'uuid'
import { type Caller, isUser, requirePermission } from '../access/caller.ts'
import { rejectEscalation } from '../access/escalation.ts'
import { changeLocked } from '../audit/change-resource.ts'
import type { Db } from '../db/database.ts'
import type { DirectoryAttributes, DirectoryUser } from '../db/tables.ts'
import { reachableOrganization } from '../organizations/lookup.ts'
import {
  belongedToAnother,
  deprovisionOwners,
  followDirectory,
  provisionOwner,
} from '../owners/provisioning.ts'
import { effectivePolicy } from '../policy/effective.ts'
import { AppError, badCredential } from '../shared/errors.ts'
import type { Policy } from '../shared/policy.ts'
import { type ExpectedVersions, rejectStale } from '../shared/preconditions.ts'
import { revokeTokensOf } from '../tokens/owners.ts'
import { scimError, type UserValues, valuesIn } from './attributes.ts'
import { parseFilter } from './filter.ts'
import { patched } from './patch.ts'
import * as store from './store.ts'

/** The values that a request gives a user. */
type UserInput = Pick<DirectoryUser, 'userName' | 'externalId' | 'active' | 'attributes'>

export type UserQuery = { filter: string | undefined; startIndex: number; count: number }

export async function createScimUser(db: Db, caller: Caller, body: unknown): Promise<DirectoryUser> {
  const organizationId = directoryOf(caller)
  const input = inputFrom({ active: true, ...valuesIn(body) })
  const rules = await rulesOf(db, caller)
  if (rules.subject === 'external_id' && input.externalId === null)
    throw scimError(
      'invalidValue',
      'externalId',
      "is required: it is the subject of the user's tokens (scim.subject of the policy)",
    )
  const subject = subjectOf(input, rules)
  await revokeTokensOfDeleted(db, caller, { organizationId, subject }, input.externalId)
  return db.transaction().execute(async (tx) => {
    const inserted = await store.insertUser(tx, {
      organizationId,
      id: uuid(),
      ...stored(input),
      createdAt: caller.now,
      updatedAt: caller.now,
    })
    if (!inserted) throw taken('userName')
    await provision(tx, caller, inserted, rules)
    return inserted
  })
}

export async function listScimUsers(
  db: Db,
  caller: Caller,
  { filter, ...page }: UserQuery,
): Promise<{ total: number; users: DirectoryUser[] }> {
  const organizationId = directoryOf(caller)
  return store.selectUsers(db, organizationId, {
    ...page,
    filter: filter === undefined ? undefined : parseFilter(filter),
  })
}

export async function getScimUser(db: Db, caller: Caller, id: string): Promise<DirectoryUser> {
  const organizationId = directoryOf(caller)
  return (isUuid(id) && (await store.findUser(db, { organizationId, id }))) || noSuchUser()
}

export async function replaceScimUser(
  db: Db,
  caller: Caller,
  where: { id: string; expected: ExpectedVersions },
  body: unknown,
): Promise<DirectoryUser> {
  const values = valuesIn(body)
  // A body without `active` does not bring back a user who has left.
  return changing(db, caller, where, ({ active }) => ({ active, ...values }))
}

export async function updateScimUser(
  db: Db,
  caller: Caller,
  where: { id: string; expected: ExpectedVersions },
  body: unknown,
): Promise<DirectoryUser> {
  return changing(db, caller, where, (user) => patched(valuesOf(user), body))
}

/** The tokens of a deleted user stay suspended; they are revoked if another person gets the same name. */
export async function deleteScimUser(
  db: Db,
  caller: Caller,
  { id, expected }: { id: string; expected: ExpectedVersions },
): Promise<void> {
  const organizationId = directoryOf(caller)
  const lock = (tx: Db) => lockUser(tx, organizationId, id)
  await changeLocked(db, { lock, expected }, async (tx, user) => {
    await deprovisionOwners(tx, caller, organizationId, user.id)
    await store.deleteUser(tx, user)
  })
}

async function changing(
  db: Db,
  caller: Caller,
  { id, expected }: { id: string; expected: ExpectedVersions },
  change: (user: DirectoryUser) => UserValues,
): Promise<DirectoryUser> {
  const organizationId = directoryOf(caller)
  const known = await getScimUser(db, caller, id)
  rejectStale(known, expected)
  const next = inputFrom(change(known))
  const rules = await rulesOf(db, caller)
  const subject = subjectOf(next, rules)
  if (subject !== subjectOf(known, rules))
    await revokeTokensOfDeleted(db, caller, { organizationId, subject }, next.externalId)
  const lock = (tx: Db) => lockUser(tx, organizationId, id)
  return changeLocked(db, { lock, expected }, async (tx, user) => {
    const input = inputFrom(change(user))
    const changed = store.isChanged(user, input)
      ? await store.updateUser(tx, user, { ...stored(input), updatedAt: caller.now })
      : user
    if (!changed) throw taken('userName')
    await provision(tx, caller, changed, rules)
    return changed
  })
}

/** Owners of subjects that the user had before still belong to the user. */
async function provision(tx: Db, caller: Caller, user: DirectoryUser, rules: Policy['scim']): Promise<void> {
  const { organizationId, id: directoryUserId, externalId, active } = user
  const facts = { directoryUserId, externalId, email: emailOf(user) }
  await provisionOwner(tx, caller, { organizationId, subject: subjectOf(user, rules) }, facts)
  // Only here, when the owner is locked, so that one of two users who are created at the same time is rejected.
  if (rules.subject === 'external_id' && (await store.hasDouble(tx, user))) throw taken('externalId')
  await followDirectory(tx, caller, organizationId, { ...facts, active })
}

async function revokeTokensOfDeleted(
  db: Db,
  caller: Caller,
  key: { organizationId: string; subject: string },
  externalId: string | null,
): Promise<void> {
  if (!(await belongedToAnother(db, key, externalId))) return
  const reason = 'Its owner was deleted from the directory, and another user has the name now.'
  await revokeTokensOf(db, caller, key, reason)
}

export function requireProvisioning(caller: Caller): void {
  requirePermission(caller, 'scim')
}

/**
 * The organization whose directory the caller manages: its own. This concerns tokens for any audience and of any type, so
 * a token that is narrowed to some cannot do it.
 */
function directoryOf(caller: Caller): string {
  const { principal } = caller
  requireProvisioning(caller)
  if (isUser(principal)) throw badCredential('users cannot provision')
  const narrowedTo = { organizations: [principal.organizationKey] }
  rejectEscalation(caller, { permissions: [], narrowedTo, networks: [] })
  return principal.organizationId
}

async function lockUser(tx: Db, organizationId: string, id: string): Promise<DirectoryUser> {
  return (isUuid(id) && (await store.lockUser(tx, { organizationId, id }))) || noSuchUser()
}

async function rulesOf(db: Db, caller: Caller): Promise<Policy['scim']> {
  const { policy } = await reachableOrganization(db, caller, directoryOf(caller))
  return effectivePolicy(policy).scim
}

/** The subject that tokens of the user have. A user who was created without an external id is known by name. */
function subjectOf(
  { userName, externalId }: Pick<UserInput, 'userName' | 'externalId'>,
  { subject }: Policy['scim'],
): string {
  return subject === 'external_id' && externalId !== null ? externalId : userName
}

/** The primary address, or else the first. */
function emailOf({ attributes: { emails = [] } }: UserInput): string | null {
  const { value } = emails.find(({ primary }) => primary) ?? emails[0] ?? {}
  return typeof value === 'string' && value !== '' ? value : null
}

export function valuesOf({ userName, externalId, active, attributes }: DirectoryUser): UserValues {
  return { userName, ...(externalId !== null && { externalId }), active, ...attributes }
}

function inputFrom({ userName, externalId, active, ...attributes }: UserValues): UserInput {
  if (typeof userName !== 'string' || userName.trim() === '')
    throw scimError('invalidValue', 'userName', 'is required')
  if (typeof active !== 'boolean') throw scimError('invalidValue', 'active', 'is required: true or false')
  return {
    userName,
    active,
    externalId: typeof externalId === 'string' && externalId !== '' ? externalId : null,
    attributes: attributes as DirectoryAttributes,
  }
}

function stored({ attributes, ...columns }: UserInput) {
  return { ...columns, attributes: JSON.stringify(attributes) }
}

function taken(attribute: string): AppError {
  return new AppError('already_exists', `Another user has this ${attribute}.`, { scimType: 'uniqueness' })
}

function noSuchUser(): never {
  throw new AppError('not_found', 'There is no such user.')
}
