import { isDeepStrictEqual } from 'node:util'
import { type Caller, requirePermission } from '../access/caller.ts'
import { record } from '../audit/audit.ts'
import type { Db } from '../db/database.ts'
import type { Organization } from '../db/tables.ts'
import { AppError } from '../errors.ts'
import { lockOrganization, reachableOrganization } from '../organizations/reach.ts'
import { listTokenTypes } from '../token-types/token-types.ts'
import { type ExpectedVersions, refuseStale } from '../versions.ts'
import { conflictsIn } from './conflicts.ts'
import type { Policy, PolicyDocument } from './document.ts'
import { effectivePolicy } from './effective.ts'
import { type MergePatch, mergePatch } from './merge-patch.ts'
import * as store from './store.ts'

/** An organization's own policy and its version. */
export type OwnPolicy = { organizationKey: string; own: PolicyDocument; version: number }

/** What a change did, or with `dryRun` would do, and the existing tokens that it would refuse today. */
export type PolicyChange = OwnPolicy & { applied: boolean; breaches: store.Breaches }

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
  document: PolicyDocument,
  how: How,
): Promise<PolicyChange> {
  return changing(db, caller, organizationKey, how, () => document)
}

export async function updatePolicy(
  db: Db,
  caller: Caller,
  organizationKey: string,
  patch: MergePatch<PolicyDocument>,
  how: How,
): Promise<PolicyChange> {
  return changing(db, caller, organizationKey, how, (own) => mergePatch(own, patch))
}

/** Tokens that exist stay as they are; the lock makes sure that none is created by rules that are no longer. */
async function changing(
  db: Db,
  caller: Caller,
  organizationKey: string,
  { expected, dryRun }: How,
  change: (own: PolicyDocument) => PolicyDocument,
): Promise<PolicyChange> {
  const { id } = await reachableOrganization(db, caller, organizationKey)
  requirePermission(caller, 'policy:write')
  return db.transaction().execute(async (tx) => {
    const organization = await lockOrganization(tx, id)
    const current = ownPolicy(organization)
    refuseStale(current, expected)
    const own = change(current.own)
    const policy = effectivePolicy(own)
    await refuseConflicts(tx, policy)
    const breaches = await store.selectBreaches(tx, id, policy, caller.now)
    const applied = !dryRun
    if (dryRun || isDeepStrictEqual(own, current.own)) return { ...current, own, applied, breaches }
    const version = current.version + 1
    await store.updatePolicy(tx, id, own, version)
    await log(tx, caller, organization, own)
    return { ...current, own, version, applied, breaches }
  })
}

async function refuseConflicts(tx: Db, policy: Policy): Promise<void> {
  const types = await listTokenTypes(tx)
  const fields = conflictsIn(
    policy,
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

function ownPolicy({ key, policy, policyVersion }: Organization): OwnPolicy {
  return { organizationKey: key, own: policy, version: policyVersion }
}
