import { type Caller, holds, onBehalfOf, reaches, requirePermission } from '../../access/caller.ts'
import { grantOfToken, rejectEscalation } from '../../access/escalation.ts'
import type { Db } from '../../db/database.ts'
import { type Attempt, type Outcome, once } from '../../idempotency/idempotency.ts'
import { sealingKey } from '../../keys/signing.ts'
import { noSuchOrganization } from '../../organizations/lookup.ts'
import { effectivePolicy } from '../../policy/effective.ts'
import { AppError, type Refusals } from '../../shared/errors.ts'
import { limitRefusal, quotaUsagesOf, rejectTakenName } from '../quota.ts'
import { onlyOwner, ownerOfNew } from '../token-owner-scope.ts'
import { rejectWrongNarrowing, withKeysAsKept } from '../view-limits.ts'
import { type Decision, decideIssuance, type NewToken } from './decide.ts'
import { onlyType } from './form-options.ts'
import { type Issued, issueInTransaction, issueToken } from './issue.ts'
import type { Issuing } from './mint.ts'
import { findRules, type IssuanceRules } from './rules-store.ts'

/** Without a type, the only type that can be created is used. */
export type AskedToken = Omit<NewToken, 'type'> & { type: string | undefined }

type Request = { organizationKey: string; input: AskedToken; issuing: Issuing }

type Creation<Answer> = Request & {
  attempt: Attempt
  /** Builds the response, which a retry with the same Idempotency-Key receives as well. */
  present(issued: Issued): Answer
}

/** Creates a token for the caller, once per Idempotency-Key. */
export async function createToken<Answer>(
  db: Db,
  caller: Caller,
  { attempt: { key, request }, present, ...asked }: Creation<Answer>,
): Promise<Outcome<Answer>> {
  const type = asked.input.type ?? (await onlyType(db, caller, asked.organizationKey, asked.issuing.signing))
  const { rules, issuance } = await authorizeCreation(db, caller, {
    ...asked,
    input: { ...asked.input, type },
  })
  const { id } = rules.organization
  if (key) {
    return once(db, caller, { organizationId: id, key, request }, async (tx) =>
      present(await issueInTransaction(tx, id, issuance)),
    )
  }
  return { answer: present(await issueToken(db, rules, issuance)), replayed: false }
}

export type Preview = { input: NewToken; decision: Decision; organization: IssuanceRules['organization'] }

/**
 * What `createToken` would do, for a form that is being filled in. Stores, locks and claims nothing, so another request
 * can still take the name or the last slot. Everything that is wrong is in one error, together with the reasons for
 * which the request was already rejected.
 */
export async function previewToken(
  db: Db,
  caller: Caller,
  asked: Request,
  refusals: Refusals,
): Promise<Preview> {
  const { issuing } = asked
  const given = asked.input.type ?? (await onlyTypeOrRefusal(db, caller, asked, refusals))
  const request = { ...asked, input: { ...asked.input, type: given ?? '' } }
  const { rules, issuance } = await authorizeCreation(db, caller, request)
  const { organization, type } = rules
  const { input } = issuance
  const policy = effectivePolicy(organization.policy)
  const decision = refusals.check(() => decideIssuance(rules, input, caller.now))
  if (type?.format === 'jwt') refusals.check(() => sealingKey(issuing.signing))
  const scopes = input.scopes ?? type?.defaultScopes ?? []
  const { name, narrowedTo } = input
  const limits = { type: input.type, scopes, narrowedTo }
  await refusals.checkLater(() => rejectWrongNarrowing(db, organization, limits))
  const organizationId = organization.id
  if (policy.name.unique && name !== undefined)
    await refusals.checkLater(() => rejectTakenName(db, { organizationId, name }))
  const claim = { organizationId, owner: input.owner?.subject ?? null, now: caller.now }
  refusals.add(limitRefusal(await quotaUsagesOf(db, policy.limits, claim)))
  const refusal = refusals.combined()
  if (refusal || !decision) throw refusal
  return { input, decision, organization }
}

async function onlyTypeOrRefusal(
  db: Db,
  caller: Caller,
  { organizationKey, issuing }: Request,
  refusals: Refusals,
) {
  try {
    return await onlyType(db, caller, organizationKey, issuing.signing)
  } catch (error) {
    if (!(error instanceof AppError) || error.code !== 'invalid_value') throw error
    refusals.add(error)
    return undefined
  }
}

/** The rules and keys that a token is issued with, if the caller may create it. */
async function authorizeCreation(
  db: Db,
  caller: Caller,
  { organizationKey, input: asked, issuing }: { organizationKey: string; input: NewToken; issuing: Issuing },
) {
  const { principal } = caller
  const input = { ...asked, narrowedTo: await withKeysAsKept(db, asked.narrowedTo) }
  const subject = input.owner?.subject ?? (holds(principal, 'tokens:write') ? null : principal.ownerSubject)
  const rules = await findRules(db, {
    organization: organizationKey,
    type: input.type,
    ownType: null,
    owner: subject,
  })
  if (!rules || !reaches(principal, rules.organization.id)) throw noSuchOrganization()
  const { organization } = rules
  const self = onlyOwner(caller, 'tokens:write')
  if (self !== undefined && input.owner && input.owner.subject !== self)
    requirePermission(caller, 'tokens:write')
  const where = { organizationId: organization.id, organizationKey: organization.key }
  const scopes = input.scopes ?? []
  const audience = input.audience ?? rules.type?.audience ?? []
  rejectEscalation(caller, grantOfToken({ ...input, ...where, scopes, audience }))
  const owner = ownerOfNew(caller, self, input.owner)
  // A limited caller gets the audience that was checked, even if the type changes in the meantime.
  const given = principal.narrowedTo ? { ...input, audience, owner } : { ...input, owner }
  const issuance = { origin: onBehalfOf(caller, owner?.subject ?? null), input: given, secretFrom: issuing }
  return { rules, issuance }
}
