import { type Caller, reaches } from '../access/caller.ts'
import type { Db } from '../db/database.ts'
import type { Organization } from '../db/tables.ts'
import { AppError } from '../shared/errors.ts'
import * as store from './store.ts'

/**
 * The organization with this key or id. One that the caller does not reach is reported like one that does not exist.
 */
export async function reachableOrganization(db: Db, caller: Caller, keyOrId: string): Promise<Organization> {
  const organization = await store.findOrganization(db, keyOrId)
  if (organization && reaches(caller.principal, organization.id)) return organization
  throw noSuchOrganization()
}

/** Which of the keys belong to no organization. */
export async function unknownOrganizations(db: Db, keys: string[]): Promise<string[]> {
  const known = await store.selectKnownKeys(db, keys)
  return keys.filter((key) => !known.includes(key))
}

/** Locks it until the end of the transaction: anything being created inside it has been committed, or waits. */
export async function lockOrganization(tx: Db, id: string): Promise<Organization> {
  const organization = await store.lockOrganization(tx, id)
  if (!organization) throw noSuchOrganization()
  return organization
}

/** For a change inside the organization: keeps the organization unchanged until the transaction ends. */
export async function holdOrganization(tx: Db, id: string): Promise<Organization> {
  const organization = await store.holdOrganization(tx, id)
  if (!organization) throw noSuchOrganization()
  return organization
}

export function noSuchOrganization(): AppError {
  return new AppError('not_found', 'There is no such organization.')
}
