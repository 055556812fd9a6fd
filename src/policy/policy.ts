import { isDeepStrictEqual } from 'node:util'
import { type Caller, requirePermission } from '../access/caller.ts'
import { rejectEscalation } from '../access/escalation.ts'
import { record } from '../audit/audit.ts'
import type { Db } from '../db/database.ts'
import type { Organization } from '../db/tables.ts'
import { lockOrganization, reachableOrganization } from '../organizations/lookup.ts'
import { AppError } from '../shared/errors.ts'
import type { Policy, PolicyDocument } from '../shared/policy.ts'
import { type ExpectedVersions, rejectStale } from '../shared/preconditions.ts'
import { usableTokenTypes } from '../token-types/token-types.ts'
import { conflictsIn } from './conflicts.ts'
import { effectivePolicy } from './effective.ts'
import { type MergePatch, mergePatch } from './merge-patch.ts'
import * as store from './store.ts'
import { tightened } from './tightened.ts'

/** An organization's own policy and its version. */
export type OwnPolicy = { organizationKey: string; own: PolicyDocument; version: number }

/**
 * The result of a change, or of a change with `dryRun`, and the existing tokens that its new rules would reject today.
 */
export type PolicyChange = OwnPolicy & { applied: boolean; breaches: store.Breaches }

/** The members in the request, and the resulting policy of the organization. */
type Requested = { requested: MergePatch<PolicyDocument>; change(own: PolicyDocument): PolicyDocument }

type How = { expected: ExpectedVersions; dryRun: boolean }

export async function getPolicy(db: Db, caller: Caller, organizationKey: string): Promise<OwnPolicy> {
  const organization = await reachableOrganization(db, caller, organizationKey)
  requirePermission(caller, 'policy:read')
  return ownPolicy(organization)
}

export async function replacePolicy(
  db: Db,
  caller: Caller,
  organizationKey: string,
  { document, ...how }: How & { document: PolicyDocument },
): Promise<PolicyChange> {
  return changing(db, caller, organizationKey, { ...how, requested: document, change: () => document })
}

export async function updatePolicy(
  db: Db,
  caller: Caller,
  organizationKey: string,
  { patch, ...how }: How & { patch: MergePatch<PolicyDocument> },
): Promise<PolicyChange> {
  const change = (own: PolicyDocument) => mergePatch(own, patch)
  return changing(db, caller, organizationKey, { ...how, requested: patch, change })
}

/**
 * Existing tokens are not changed; the lock ensures that none is created under the old rules. Breaches are collected
 * before taking the lock, and a dry run does not take it, because other requests need the organization too, for example
 * to suspend it.
 */
async function changing(
  db: Db,
  caller: Caller,
  organizationKey: string,
  { expected, dryRun, requested, change }: How & Requested,
): Promise<PolicyChange> {
  for (;;) {
    const { id, ...read } = await reachableOrganization(db, caller, organizationKey)
    requirePermission(caller, 'policy:write')
    const current = ownPolicy(read)
    rejectStale(current, expected)
    const own = change(current.own)
    const policy = effectivePolicy(own)
    rejectWiderPolicy(caller, read, policy)
    await rejectConflicts(db, { id, key: read.key }, own, requested)
    const rules = tightened(effectivePolicy(current.own), policy)
    const breaches = await store.selectBreaches(db, id, rules, { now: caller.now })
    if (dryRun) return { ...current, own, applied: false, breaches }
    const version = await db.transaction().execute(async (tx) => {
      const organization = await lockOrganization(tx, id)
      if (organization.policyVersion !== current.version) return undefined
      if (isDeepStrictEqual(own, current.own)) return current.version
      await store.updatePolicy(tx, id, own, current.version + 1)
      await log(tx, caller, organization, own)
      return current.version + 1
    })
    if (version !== undefined) return { ...current, own, version, applied: true, breaches }
    // The policy changed in the meantime: apply the change to its current state.
  }
}

/**
 * A policy can grant only what its rules about tokens allow, so only those can be an escalation, and further recipients
 * of mail, who learn what is in the change log.
 */
function rejectWiderPolicy(
  caller: Caller,
  { key, policy: own }: Pick<Organization, 'key' | 'policy'>,
  next: Policy,
): void {
  const current = effectivePolicy(own)
  const types = addedTypes(current.allowed_types, next.allowed_types)
  const narrowedTo = { organizations: [key], audience: [], ...(types && { types }) }
  rejectEscalation(caller, { permissions: [], narrowedTo, networks: [] })
  const told = current.notifications.mail_to
  if (next.notifications.mail_to.some((address) => !told.includes(address)))
    rejectEscalation(caller, {
      permissions: ['audit:read'],
      narrowedTo: { organizations: [key] },
      networks: null,
    })
  const allowsSso = next.creation.sso_users && !current.creation.sso_users
  // The one rule about callers: users must not be able to create tokens for themselves that outlive their sign-in.
  if (allowsSso && caller.principal.ownerSource === 'sso')
    throw new AppError(
      'creation_disabled',
      'creation.sso_users keeps users of single sign-on from creating tokens, so they cannot change it.',
    )
}

/** Undefined: all types. */
function addedTypes(before: string[] | null, after: string[] | null): string[] | undefined {
  if (before === null) return []
  return after?.filter((type) => !before.includes(type))
}

async function rejectConflicts(
  db: Db,
  organization: Pick<Organization, 'id' | 'key'>,
  own: PolicyDocument,
  requested: MergePatch<PolicyDocument>,
): Promise<void> {
  const types = await usableTokenTypes(db, organization)
  const fields = conflictsIn(
    own,
    requested,
    types.map(({ name }) => name),
  )
  const [first] = fields
  if (first) throw new AppError('invalid_value', `${first.field} ${first.detail}`, { fields })
}

async function log(tx: Db, caller: Caller, { id, key, policy }: Organization, own: PolicyDocument) {
  await record(tx, caller, {
    organizationId: id,
    action: 'policy.updated',
    target: { type: 'policy', id, name: key },
    changes: { before: policy, after: own },
  })
}

function ownPolicy({
  key,
  policy,
  policyVersion,
}: Pick<Organization, 'key' | 'policy' | 'policyVersion'>): OwnPolicy {
  return { organizationKey: key, own: policy, version: policyVersion }
}
