import { type Caller, holds } from '../../access/caller.ts'
import type { OwnerSource } from '../../access/credential.ts'
import type { Db } from '../../db/database.ts'
import type { Organization } from '../../db/tables.ts'
import { reachableOrganization } from '../../organizations/lookup.ts'
import { effectivePolicy } from '../../policy/effective.ts'
import { AppError } from '../../shared/errors.ts'
import type { Policy } from '../../shared/policy.ts'
import { limitRefusal, type QuotaUsages, quotaUsagesOf } from '../quota.ts'
import { latestOwnerSource } from '../quota-store.ts'
import { isSignedInAs, onlyOwner, selfAsOwner } from '../token-owner-scope.ts'

/** The user that a token would be created for: the subject and, if known, where the user comes from now. */
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
  const { subject, source } = await ownerOf(db, caller, organization.id, candidate)
  const usages = await quotaUsagesOf(db, policy.limits, {
    organizationId: organization.id,
    owner: subject ?? null,
    now: caller.now,
  })
  const refusal =
    permissionRefusal(caller, subject) ??
    suspensionRefusal(organization) ??
    sourceRefusal(policy, source) ??
    limitRefusal(usages)
  return { organization, policy, usages, refusal }
}

/** Keeps tokens from outliving their owner's standing in the single sign-on. */
export function sourceRefusal({ creation }: Policy, source: OwnerSource | undefined): AppError | undefined {
  if (creation.sso_users || source !== 'sso') return undefined
  return new AppError(
    'creation_disabled',
    'The organization does not let users who come through single sign-on have new tokens.',
  )
}

/** With `tokens:own` the caller's own owner; an unknown source is taken from the owner's latest token. */
async function ownerOf(
  db: Db,
  caller: Caller,
  organizationId: string,
  { subject, source }: Candidate,
): Promise<Candidate> {
  const self = selfAsOwner(caller)
  const onlySelf = !holds(caller.principal, 'tokens:write')
  if (self && onlySelf && (subject === undefined || subject === self.subject)) return self
  if (self && isSignedInAs(caller, subject)) return self
  if (subject === undefined || source !== undefined) return { subject, source }
  return { subject, source: await latestOwnerSource(db, organizationId, subject) }
}

function permissionRefusal({ principal }: Caller, subject: string | undefined): AppError | undefined {
  if (holds(principal, 'tokens:write')) return undefined
  const own = holds(principal, 'tokens:own') && principal.ownerSubject !== null
  if (own && subject === principal.ownerSubject) return undefined
  return new AppError('insufficient_scope', 'This needs the permission tokens:write.')
}

/** Nothing can be created in a suspended organization. */
export function suspensionRefusal({
  key,
  suspendedAt,
}: Pick<Organization, 'key' | 'suspendedAt'>): AppError | undefined {
  return suspendedAt ? new AppError('suspended', `The organization ${key} is suspended.`) : undefined
}
