import { type Caller, holds, onBehalfOf, reaches, requirePermission } from '../../access/caller.ts'
import { grantOfToken, refuseEscalation } from '../../access/escalation.ts'
import type { Db } from '../../db/database.ts'
import { type Attempt, type Outcome, once } from '../../idempotency/idempotency.ts'
import { noSuchOrganization } from '../../organizations/lookup.ts'
import { onlyOwner, ownerOfNew } from '../token-owner-scope.ts'
import type { NewToken } from './decide.ts'
import { onlyType } from './form-options.ts'
import { type Issued, issueInTransaction, issueToken } from './issue.ts'
import type { Issuing } from './mint.ts'
import { findRules } from './rules-store.ts'

type Creation<Answer> = {
  organizationKey: string
  /** Without a type, the only type that can be created is used. */
  input: Omit<NewToken, 'type'> & { type: string | undefined }
  attempt: Attempt
  issuing: Issuing
  /** Builds the response, which a retry with the same Idempotency-Key receives as well. */
  present(issued: Issued): Answer
}

/** Creates a token for the caller, once per Idempotency-Key. */
export async function createToken<Answer>(
  db: Db,
  caller: Caller,
  { organizationKey, input: asked, attempt: { key, request }, issuing, present }: Creation<Answer>,
): Promise<Outcome<Answer>> {
  const { principal } = caller
  const type = asked.type ?? (await onlyType(db, caller, organizationKey, issuing.signing))
  const input = { ...asked, type }
  const subject = input.owner?.subject ?? (holds(principal, 'tokens:write') ? null : principal.ownerSubject)
  const rules = await findRules(db, { organization: organizationKey, type: input.type, owner: subject })
  if (!rules || !reaches(principal, rules.organization.id)) throw noSuchOrganization()
  const { organization } = rules
  const self = onlyOwner(caller, 'tokens:write')
  if (self !== undefined && input.owner && input.owner.subject !== self)
    requirePermission(caller, 'tokens:write')
  const where = { organizationId: organization.id, organizationKey: organization.key }
  const scopes = input.scopes ?? []
  const audience = input.audience ?? rules.type?.audience ?? []
  refuseEscalation(caller, grantOfToken({ ...input, ...where, scopes, audience }))
  const owner = ownerOfNew(caller, self, input.owner)
  // A limited caller gets the audience that was checked, even if the type changes in the meantime.
  const given = principal.narrowedTo ? { ...input, audience, owner } : { ...input, owner }
  const issuance = { origin: onBehalfOf(caller, owner?.subject ?? null), input: given, secretFrom: issuing }
  if (key) {
    return once(db, caller, organization.id, { key, request }, async (tx) =>
      present(await issueInTransaction(tx, organization.id, issuance)),
    )
  }
  return { answer: present(await issueToken(db, rules, issuance)), replayed: false }
}
