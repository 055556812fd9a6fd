import { validate as isUuid, v7 as uuid } from 'uuid'
import { type Caller, type Origin, requirePermission } from '../access/caller.ts'
import { type Action, record } from '../audit/audit.ts'
import { differences } from '../audit/changes.ts'
import { batchSize, inBatches } from '../db/batches.ts'
import type { Db } from '../db/database.ts'
import type { Changes, Organization } from '../db/tables.ts'
import { AppError } from '../shared/errors.ts'
import { platformId } from '../shared/platform.ts'
import { type ExpectedVersions, refuseStale } from '../shared/preconditions.ts'
import { suspension } from '../shared/suspension.ts'
import { noSuchOrganization, reachableOrganization } from './lookup.ts'
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
  await log(tx, origin, 'organization.created', organization)
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
  change: { name?: string },
  expected: ExpectedVersions,
): Promise<Organization> {
  return changing(db, caller, keyOrId, expected, async (tx, organization) => {
    const changes = differences(organization, change)
    if (!changes) return organization
    const changed = await store.updateOrganization(tx, organization, { ...change, updatedAt: caller.now })
    await log(tx, caller, 'organization.updated', changed, changes)
    return changed
  })
}

/** While it is suspended, none of its tokens is good. */
export async function setOrganizationSuspended(
  db: Db,
  caller: Caller,
  keyOrId: string,
  suspended: boolean,
): Promise<Organization> {
  return changing(db, caller, keyOrId, undefined, async (tx, organization) => {
    const change = suspension(organization, suspended, caller.now)
    if (!change) return organization
    const changed = await store.updateOrganization(tx, organization, change)
    await log(tx, caller, suspended ? 'organization.suspended' : 'organization.resumed', changed)
    return changed
  })
}

/**
 * Deletes it with all its tokens. It must be suspended first, so that a slip does not break live integrations. Tokens
 * are deleted in batches, each in its own transaction, so that no lock is held for long: after an error the
 * organization is still there, suspended, and deleting it again continues with the rest.
 */
export async function deleteOrganization(
  db: Db,
  caller: Caller,
  keyOrId: string,
  expected: ExpectedVersions,
): Promise<void> {
  // By id: another organization may get the key in the meantime.
  const { id } = await reachableOrganization(db, caller, keyOrId)
  const deleting = <T>(work: (tx: Db, organization: Organization) => Promise<T>) =>
    changing(db, caller, id, expected, async (tx, organization) => {
      if (organization.suspendedAt) return work(tx, organization)
      throw new AppError(
        'not_suspended',
        `Suspend ${organization.key} first: deleting it deletes all its tokens.`,
      )
    })
  for (const table of store.contentTables)
    await inBatches(() => deleting((tx) => store.deleteContents(tx, table, id, batchSize)))
  await deleting(async (tx, organization) => {
    await log(tx, caller, 'organization.deleted', organization)
    await store.deleteOrganization(tx, id)
  })
}

/** Checks permission and preconditions, and locks what is about to change. */
async function changing<T>(
  db: Db,
  caller: Caller,
  keyOrId: string,
  expected: ExpectedVersions,
  change: (tx: Db, organization: Organization) => Promise<T>,
): Promise<T> {
  const { id, key } = await reachableOrganization(db, caller, keyOrId)
  requirePermission(caller, 'platform:admin')
  if (id === platformId) throw new AppError('built_in', `The built-in organization ${key} cannot be changed.`)
  return db.transaction().execute(async (tx) => {
    const organization = await store.lockOrganization(tx, id)
    if (!organization) throw noSuchOrganization()
    refuseStale(organization, expected)
    return change(tx, organization)
  })
}

/** Logs to the organization's own log, and to the platform's, which outlives the organization. */
async function log(
  tx: Db,
  origin: Origin,
  action: Action,
  { id, key }: Organization,
  changes?: Changes,
): Promise<void> {
  const target = { type: 'organization', id, name: key } as const
  await record(tx, origin, { organizationId: platformId, action, target, ...(changes && { changes }) })
}
