import { type Caller, reaches } from '../access/caller.ts'
import type { Db } from '../db/database.ts'
import type { Organization } from '../db/tables.ts'
import { AppError } from '../shared/errors.ts'
import { isSameKey } from '../shared/organization-key.ts'
import * as store from './store.ts'

/**
 * The organization with this key or id. One that the caller does not reach is reported like one that does not exist.
 */
export async function reachableOrganization(db: Db, caller: Caller, keyOrId: string): Promise<Organization> {
  const organization = await findReachableOrganization(db, caller, keyOrId)
  if (!organization) throw noSuchOrganization()
  return organization
}

export async function findReachableOrganization(
  db: Db,
  { principal }: Caller,
  keyOrId: string,
): Promise<Organization | undefined> {
  const organization = await store.findOrganization(db, keyOrId)
  return organization && reaches(principal, organization.id) ? organization : undefined
}

/** The keys that belong to no organization. */
export async function unknownOrganizations(db: Db, keys: string[]): Promise<string[]> {
  const known = await store.selectKnownKeys(db, keys)
  return keys.filter((key) => !known.includes(key))
}

/** The same keys in the case in which their organizations have them; unknown ones are unchanged. */
export async function keysAsKept(db: Db, keys: string[]): Promise<string[]> {
  const known = await store.selectKnownKeys(db, keys)
  return [...new Set(keys.map((key) => known.find((one) => isSameKey(one, key)) ?? key))]
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
