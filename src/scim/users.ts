import { validate as isUuid, v7 as uuid } from 'uuid'
import { type Caller, isUser, requirePermission } from '../access/caller.ts'
import { rejectEscalation } from '../access/escalation.ts'
import { changeLocked } from '../audit/change-resource.ts'
import type { Db } from '../db/database.ts'
import type { DirectoryAttributes, DirectoryUser } from '../db/tables.ts'
import {
  belongedToAnother,
  deprovisionOwners,
  followDirectory,
  provisionOwner,
} from '../owners/provisioning.ts'
import { AppError, badCredential } from '../shared/errors.ts'
import { type ExpectedVersions, rejectStale } from '../shared/preconditions.ts'
import { revokeTokensOf } from '../tokens/owners.ts'
import { scimError, type UserValues, valuesIn } from './attributes.ts'
import { parseFilter } from './filter.ts'
import { patched } from './patch.ts'
import * as store from './store.ts'

/** What a request makes of a user. */
type UserInput = Pick<DirectoryUser, 'userName' | 'externalId' | 'active' | 'attributes'>

export type UserQuery = { filter: string | undefined; startIndex: number; count: number }

export async function createScimUser(db: Db, caller: Caller, body: unknown): Promise<DirectoryUser> {
  const organizationId = directoryOf(caller)
  const input = inputFrom({ active: true, ...valuesIn(body) })
  await revokeTokensOfDeleted(db, caller, organizationId, input)
  return db.transaction().execute(async (tx) => {
    const inserted = await store.insertUser(tx, {
      organizationId,
      id: uuid(),
      ...stored(input),
      createdAt: caller.now,
      updatedAt: caller.now,
    })
    const user = inserted ?? userNameTaken()
    await provision(tx, caller, user)
    return user
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
  if (next.userName !== known.userName) await revokeTokensOfDeleted(db, caller, organizationId, next)
  const lock = (tx: Db) => lockUser(tx, organizationId, id)
  return changeLocked(db, { lock, expected }, async (tx, user) => {
    const input = inputFrom(change(user))
    const changed = store.isChanged(user, input)
      ? ((await store.updateUser(tx, user, { ...stored(input), updatedAt: caller.now })) ?? userNameTaken())
      : user
    await provision(tx, caller, changed)
    return changed
  })
}

/** Owners of subjects that the user had before remain theirs. */
async function provision(tx: Db, caller: Caller, user: DirectoryUser): Promise<void> {
  const { organizationId, id: directoryUserId, externalId, active } = user
  const facts = { directoryUserId, externalId, email: emailOf(user) }
  await provisionOwner(tx, caller, { organizationId, subject: subjectOf(user) }, facts)
  await followDirectory(tx, caller, organizationId, { ...facts, active })
}

async function revokeTokensOfDeleted(
  db: Db,
  caller: Caller,
  organizationId: string,
  input: UserInput,
): Promise<void> {
  const key = { organizationId, subject: subjectOf(input) }
  if (!(await belongedToAnother(db, key, input.externalId))) return
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

/** By which subject tokens name the user. */
function subjectOf({ userName }: UserInput): string {
  return userName
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

function userNameTaken(): never {
  throw new AppError('already_exists', 'Another user has this userName.', { scimType: 'uniqueness' })
}

function noSuchUser(): never {
  throw new AppError('not_found', 'There is no such user.')
}
