import type { Origin } from '../access/caller.ts'
import { differences } from '../audit/changes.ts'
import type { Db } from '../db/database.ts'
import type { Owner } from '../db/tables.ts'
import { AppError } from '../shared/errors.ts'
import * as store from './store.ts'
import { logOwner, resumeBy, suspendBy, suspendedBy } from './suspension.ts'

/** The attributes in a directory of a user who owns tokens under a subject. */
export type DirectoryFacts = { directoryUserId: string; email: string | null; externalId: string | null }

type Key = { organizationId: string; subject: string }

/**
 * Makes the owner with this subject one of the directory's user, with or without an existing record. What the directory
 * manages comes from single sign-on.
 */
export async function provisionOwner(tx: Db, origin: Origin, key: Key, facts: DirectoryFacts): Promise<void> {
  const inserted = await store.insertOwner(tx, {
    ...key,
    ...facts,
    identitySource: 'sso',
    createdAt: origin.now,
    updatedAt: origin.now,
  })
  if (inserted) return logOwner(tx, origin, inserted, { action: 'owner.provisioned' })
  const owner = await store.lockOwner(tx, key)
  if (!owner) throw new Error('the owner is neither new nor there')
  const isAnothers = owner.directoryUserId !== null && owner.directoryUserId !== facts.directoryUserId
  if ((isAnothers || isOfDeleted(owner, facts)) && (await store.hasUsableTokens(tx, key, origin.now)))
    throw new AppError(
      'already_exists',
      'The subject of this user has tokens of another user of the directory. Revoke them first.',
      { scimType: 'uniqueness' },
    )
  const change = { ...facts, identitySource: 'sso' as const }
  const changes = differences(owner, change)
  if (!changes) return
  const changed = await store.updateOwner(tx, owner, { ...change, updatedAt: origin.now })
  const isLinked = owner.directoryUserId === facts.directoryUserId
  const action = isLinked ? 'owner.updated' : 'owner.provisioned'
  await logOwner(tx, origin, changed, { action, changes })
}

/**
 * Whether this subject belonged to a user who was deleted from the directory and may be another person: only the same
 * external id proves that a user has returned.
 */
function isOfDeleted(owner: Owner, { externalId }: Pick<DirectoryFacts, 'externalId'>): boolean {
  const isDeleted = suspendedBy(owner).includes('scim_deleted')
  return isDeleted && (externalId === null || owner.externalId !== externalId)
}

/** Whether the tokens of this subject have to be revoked before the user can have it. */
export async function belongedToAnother(db: Db, key: Key, externalId: string | null): Promise<boolean> {
  const owner = await store.findOwner(db, key)
  return owner !== undefined && isOfDeleted(owner, { externalId })
}

/** Updates all owners of the directory's user with the attributes of the user. */
export async function followDirectory(
  tx: Db,
  origin: Origin,
  organizationId: string,
  { active, ...facts }: DirectoryFacts & { active: boolean },
): Promise<void> {
  for (const owner of await store.lockOwnersOfUser(tx, organizationId, facts.directoryUserId)) {
    const changes = differences(owner, facts)
    const current = changes ? await store.updateOwner(tx, owner, { ...facts, updatedAt: origin.now }) : owner
    if (changes) await logOwner(tx, origin, current, { action: 'owner.updated', changes })
    if (active) await resumeBy(tx, origin, current, { ended: ['scim', 'scim_deleted'] })
    else await suspendBy(tx, origin, current, { source: 'scim' })
  }
}

/** The user was deleted from the directory: the owners remain, suspended, with their tokens. */
export async function deprovisionOwners(
  tx: Db,
  origin: Origin,
  organizationId: string,
  directoryUserId: string,
): Promise<void> {
  for (const owner of await store.lockOwnersOfUser(tx, organizationId, directoryUserId)) {
    const unlinked = await store.updateOwner(tx, owner, { directoryUserId: null, updatedAt: origin.now })
    await logOwner(tx, origin, unlinked, { action: 'owner.deprovisioned' })
    await suspendBy(tx, origin, unlinked, { source: 'scim_deleted' })
  }
}
