import { type Caller, holds, requirePermission } from '../access/caller.ts'
import { rejectEscalation } from '../access/escalation.ts'
import { permissions } from '../access/permissions.ts'
import { changeLocked, changeResource, update } from '../audit/change-resource.ts'
import type { Db } from '../db/database.ts'
import type { KnownOwner } from '../db/known-owner.ts'
import type { Owner } from '../db/tables.ts'
import { reachableOrganization } from '../organizations/lookup.ts'
import { AppError } from '../shared/errors.ts'
import { platformId } from '../shared/platform.ts'
import type { ExpectedVersions } from '../shared/preconditions.ts'
import * as store from './store.ts'
import { resumeBy, suspendBy } from './suspension.ts'

/** An owner, with the key of their organization. */
export type OwnerOf = Owner & { organizationKey: string }

type Which = { organization: string; subject: string }

export type OwnerChange = Partial<Pick<Owner, 'email' | 'identitySource' | 'externalId'>>

export type OwnerRows = { rows: OwnerOf[]; resume: string | undefined }

/** All owners, or with `tokens:own` only the caller. One row more than `limit` if there are more. */
export async function listOwners(
  db: Db,
  caller: Caller,
  organization: string,
  asked: Omit<store.OwnerQuery, 'subject'>,
): Promise<OwnerRows> {
  const { id, key: organizationKey } = await reachableOrganization(db, caller, organization)
  const { principal } = caller
  const isLimited = !holds(principal, 'tokens:read') && holds(principal, 'tokens:own')
  const subject = (isLimited && principal.ownerSubject) || undefined
  if (subject === undefined) requirePermission(caller, 'tokens:read')
  const query = { ...asked, subject }
  const owners = await store.selectOwners(db, id, query)
  return {
    rows: owners.map((owner) => ({ ...owner, organizationKey })),
    resume: owners.length > query.limit ? undefined : await store.lastExamined(db, id, query),
  }
}

/** An owner of the caller's own tokens, or with `tokens:read` of any. */
export async function getOwner(
  db: Db,
  caller: Caller,
  organization: string,
  subject: string,
): Promise<OwnerOf> {
  const { id: organizationId, key: organizationKey } = await reachableOrganization(db, caller, organization)
  const { principal } = caller
  if (!holds(principal, 'tokens:own') || principal.ownerSubject !== subject)
    requirePermission(caller, 'tokens:read')
  const key = { organizationId, subject }
  const recorded = await store.findOwner(db, key)
  if (recorded) return { ...recorded, organizationKey }
  await store.insertOwnerOfTokens(db, key, caller.now)
  return { ...((await store.findOwner(db, key)) ?? noSuchOwner()), organizationKey }
}

/**
 * Changes the record of an owner. The identity source decides whether the owner may have tokens if the policy restricts
 * single sign-on users, so changing it requires the permission to change the policy.
 */
export async function updateOwner(
  db: Db,
  caller: Caller,
  { organization, subject }: Which,
  { expected, change }: { expected: ExpectedVersions; change: OwnerChange },
): Promise<OwnerOf> {
  const { id: organizationId, key: organizationKey } = await reachableOrganization(db, caller, organization)
  requirePermission(caller, 'policy:write')
  const narrowedTo = { organizations: [organizationKey], audience: [], types: [] }
  rejectEscalation(caller, { permissions: [], narrowedTo, networks: [] })
  const owner = await changeResource(db, caller, {
    ...changeableOwner({ organizationId, subject }, caller.now),
    expected,
    decide: (owner) => {
      const lifts =
        owner.identitySource === 'sso' &&
        change.identitySource !== undefined &&
        change.identitySource !== 'sso'
      if (lifts && caller.principal.ownerSource === 'sso')
        throw new AppError(
          'creation_disabled',
          'Users who come through single sign-on cannot change the identity_source of an owner from sso.',
        )
      return update('owner.updated', owner, change)
    },
  })
  return { ...owner, organizationKey }
}

/**
 * While an owner is suspended, all of their tokens are inactive and no new ones can be created. When an administrator
 * resumes an owner, every suspension ends, including that of a directory. It grants what the tokens let their holder
 * do: the caller has to hold their permissions and must not be limited to audiences, types or networks.
 */
export async function setOwnerSuspended(
  db: Db,
  caller: Caller,
  { organization, subject }: Which,
  suspended: boolean,
): Promise<OwnerOf> {
  const { id: organizationId, key } = await reachableOrganization(db, caller, organization)
  requirePermission(caller, 'tokens:write')
  const owner = await changeLocked(
    db,
    changeableOwner({ organizationId, subject }, caller.now),
    async (tx, owner) => {
      if (suspended) return suspendBy(tx, caller, owner, { source: 'administrator' })
      if (owner.suspendedAt === null) return owner
      const scopes = await store.selectManagementScopes(tx, owner, caller.now)
      rejectEscalation(caller, {
        permissions: permissions.filter((permission) => scopes.includes(permission)),
        narrowedTo: organizationId === platformId ? {} : { organizations: [key] },
        networks: null,
      })
      return resumeBy(tx, caller, owner, { ended: 'all' })
    },
  )
  return { ...owner, organizationKey: key }
}

/** Creates the records of the owners of new tokens, or adds the facts in the request to them. Each occurs once. */
export async function recordOwners(tx: Db, owners: store.OwnerFacts[], now: Date): Promise<void> {
  // In an order that prevents deadlocks.
  const ordered = owners.toSorted((one, other) => (one.subject < other.subject ? -1 : 1))
  if (ordered.length > 0) await store.upsertOwners(tx, ordered, now)
}

export async function findKnownOwner(
  db: Db,
  organizationId: string,
  subject: string,
): Promise<KnownOwner | null> {
  return store.selectKnownOwner(db, { organizationId, subject })
}

/** An owner who has tokens but no record gets one. */
function changeableOwner(key: { organizationId: string; subject: string }, now: Date) {
  return {
    lock: async (tx: Db): Promise<Owner> => {
      const owner = await store.lockOwner(tx, key)
      if (owner) return owner
      await store.insertOwnerOfTokens(tx, key, now)
      return (await store.lockOwner(tx, key)) ?? noSuchOwner()
    },
    write: store.updateOwner,
    loggedAs: ({ organizationId, subject }: Owner) =>
      ({ organizationId, target: { type: 'owner', id: subject, name: subject } }) as const,
  }
}

function noSuchOwner(): never {
  throw new AppError('not_found', 'There is no such owner: no token was ever created for them here.')
}
