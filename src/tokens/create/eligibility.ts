import { type Caller, holds } from '../../access/caller.ts'
import type { OwnerSource } from '../../access/credential.ts'
import type { Db } from '../../db/database.ts'
import type { Organization } from '../../db/tables.ts'
import { reachableOrganization } from '../../organizations/lookup.ts'
import { findKnownOwner } from '../../owners/owners.ts'
import { ownerSuspensionRefusal, sourceOf, sourceRefusal } from '../../owners/source.ts'
import { effectivePolicy } from '../../policy/effective.ts'
import { AppError } from '../../shared/errors.ts'
import type { Policy } from '../../shared/policy.ts'
import { limitRefusal, type QuotaUsages, quotaUsagesOf } from '../quota.ts'
import { isSignedInAs, onlyOwner, selfAsOwner } from '../token-owner-scope.ts'
import { suspensionRefusal } from './decide.ts'

/** The user that a token would be created for: the subject and, if known, the current identity source. */
export type Candidate = { subject: string | undefined; source: OwnerSource | undefined }

/** Whether a candidate could get a token, and the error that a create would fail with. */
export type Eligibility = {
  organization: Organization
  policy: Policy
  usages: QuotaUsages
  refusal: AppError | undefined
}

/** Whether the caller could create a token for `candidate` right now. */
export async function eligibilityOf(
  db: Db,
  caller: Caller,
  organizationKey: string,
  candidate: Candidate,
): Promise<Eligibility> {
  const organization = await reachableOrganization(db, caller, organizationKey)
  if (!holds(caller.principal, 'tokens:write')) onlyOwner(caller, 'tokens:read')
  const policy = effectivePolicy(organization.policy)
  const { subject, source: asked } = candidateFor(caller, candidate)
  const known = subject === undefined ? null : await findKnownOwner(db, organization.id, subject)
  const source = sourceOf(known, asked)
  const isUser = subject !== undefined || source !== undefined
  const usages = await quotaUsagesOf(db, policy.limits, {
    organizationId: organization.id,
    owner: subject ?? null,
    now: caller.now,
  })
  const refusal =
    permissionRefusal(caller, subject) ??
    suspensionRefusal(organization) ??
    (subject === undefined ? undefined : ownerSuspensionRefusal(known, subject)) ??
    (isUser ? sourceRefusal(policy, source) : undefined) ??
    limitRefusal(usages)
  return { organization, policy, usages, refusal }
}

/** With `tokens:own`, and for a signed-in user who asks about themselves, the candidate is the caller. */
function candidateFor(caller: Caller, asked: Candidate): Candidate {
  const self = selfAsOwner(caller)
  const onlySelf = !holds(caller.principal, 'tokens:write')
  if (self && onlySelf && (asked.subject === undefined || asked.subject === self.subject)) return self
  return self && isSignedInAs(caller, asked.subject) ? self : asked
}

function permissionRefusal({ principal }: Caller, subject: string | undefined): AppError | undefined {
  if (holds(principal, 'tokens:write')) return undefined
  const own = holds(principal, 'tokens:own') && principal.ownerSubject !== null
  if (own && subject === principal.ownerSubject) return undefined
  return new AppError('insufficient_scope', 'This needs the permission tokens:write.')
}
