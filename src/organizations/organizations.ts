import { validate as isUuid, v7 as uuid } from 'uuid'
import { type Caller, type Origin, requirePermission } from '../access/caller.ts'
import { record } from '../audit/audit.ts'
import { changeLocked, changeResource, suspension, update } from '../audit/change-resource.ts'
import { batchSize, inBatches } from '../db/batches.ts'
import type { Db } from '../db/database.ts'
import type { Organization } from '../db/tables.ts'
import { AppError } from '../shared/errors.ts'
import { platformId } from '../shared/platform.ts'
import type { ExpectedVersions } from '../shared/preconditions.ts'
import { lockOrganization, reachableOrganization } from './lookup.ts'
import * as store from './store.ts'

export type NewOrganization = { key: string; name: string }

export async function createOrganization(
  db: Db,
  caller: Caller,
  input: NewOrganization,
): Promise<Organization> {
  requirePermission(caller, 'platform:admin')
  return db.transaction().execute((tx) => addOrganization(tx, caller, input))
}

/** Without a permission check: for `createOrganization` and the first start. */
export async function addOrganization(tx: Db, origin: Origin, input: NewOrganization): Promise<Organization> {
  // Otherwise it would be unclear which of the two a path means.
  if (isUuid(input.key) && (await store.findOrganization(tx, input.key)))
    throw new AppError(
      'already_exists',
      `The key ${input.key} is taken or is the id of another organization.`,
    )
  const organization = await store.insertOrganization(tx, {
    id: uuid(),
    ...input,
    createdAt: origin.now,
    updatedAt: origin.now,
  })
  if (!organization) throw new AppError('already_exists', `The key ${input.key} is taken.`)
  await record(tx, origin, { action: 'organization.created', ...loggedAs(organization) })
  return organization
}

export async function listOrganizations(
  db: Db,
  caller: Caller,
  page: { after?: string; limit: number },
): Promise<Organization[]> {
  requirePermission(caller, 'platform:admin')
  return store.selectOrganizations(db, page)
}

export async function getOrganization(db: Db, caller: Caller, keyOrId: string): Promise<Organization> {
  return reachableOrganization(db, caller, keyOrId)
}

export async function updateOrganization(
  db: Db,
  caller: Caller,
  keyOrId: string,
  { expected, change }: { expected: ExpectedVersions; change: { name?: string } },
): Promise<Organization> {
  const changeable = await changeableOrganization(db, caller, keyOrId)
  return changeResource(db, caller, {
    ...changeable,
    expected,
    decide: (organization: Organization) => update('organization.updated', organization, change),
  })
}

/** While an organization is suspended, none of its tokens is good. */
export async function setOrganizationSuspended(
  db: Db,
  caller: Caller,
  keyOrId: string,
  suspended: boolean,
): Promise<Organization> {
  const changeable = await changeableOrganization(db, caller, keyOrId)
  return changeResource(db, caller, {
    ...changeable,
    decide: (organization: Organization) =>
      suspension('organization', organization, suspended ? caller.now : null),
  })
}

/**
 * Deletes it with all its tokens. It must be suspended first, so that a mistake does not break live integrations.
 * Tokens are deleted in batches, each in its own transaction, so that no lock is held for long. After an error the
 * organization still exists, suspended, and deleting it again continues with the rest.
 */
export async function deleteOrganization(
  db: Db,
  caller: Caller,
  keyOrId: string,
  expected: ExpectedVersions,
): Promise<void> {
  const { id, lock } = await changeableOrganization(db, caller, keyOrId)
  const deleting = <T>(work: (tx: Db, organization: Organization) => Promise<T>) =>
    changeLocked(db, { lock, expected }, async (tx, organization) => {
      if (organization.suspendedAt) return work(tx, organization)
      throw new AppError(
        'not_suspended',
        `Suspend ${organization.key} first: deleting it deletes all its tokens.`,
      )
    })
  for (const table of store.contentTables)
    await inBatches(() => deleting((tx) => store.deleteContents(tx, table, id, batchSize)))
  await deleting(async (tx, organization) => {
    await record(tx, caller, { action: 'organization.deleted', ...loggedAs(organization) })
    await store.deleteOrganization(tx, id)
  })
}

/** Locks by id: another organization may get the key in the meantime. */
async function changeableOrganization(db: Db, caller: Caller, keyOrId: string) {
  const { id, key } = await reachableOrganization(db, caller, keyOrId)
  requirePermission(caller, 'platform:admin')
  if (id === platformId) throw new AppError('built_in', `The built-in organization ${key} cannot be changed.`)
  return { id, lock: (tx: Db) => lockOrganization(tx, id), write: store.updateOrganization, loggedAs }
}

/** In the organization's own log, and in the platform's, which outlives the organization. */
function loggedAs({ id, key }: Organization) {
  return { organizationId: platformId, target: { type: 'organization', id, name: key } } as const
}
