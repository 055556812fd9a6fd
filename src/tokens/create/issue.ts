import { v7 as uuid } from 'uuid'
import type { Origin } from '../../access/caller.ts'
import { eventOf } from '../../audit/audit.ts'
import type { Db } from '../../db/database.ts'
import { noSuchOrganization } from '../../organizations/lookup.ts'
import { recordOwners } from '../../owners/owners.ts'
import { Secret } from '../../shared/secret.ts'
import { grantSnapshot, tokenEvent } from '../audit-event.ts'
import { generateName } from '../name.ts'
import { claimQuota, hasQuota } from '../quota.ts'
import type { Token } from '../store.ts'
import { rejectWrongNarrowing } from '../view-limits.ts'
import { type Decision, decideIssuance, type NewToken } from './decide.ts'
import { insertToken, insertTokenInTransaction } from './insert-store.ts'
import type { Warning } from './lifetime.ts'
import { type Issuing, type Minted, mintSecret } from './mint.ts'
import { holdRules, type IssuanceRules, revisionsOf } from './rules-store.ts'

export type Issued = { token: Token; secret: Secret; warnings: Warning[] }

type Issuance = {
  origin: Origin
  input: NewToken
  /** An existing secret, or the parameters for minting one. */
  secretFrom: Secret | Issuing
  /** The policy of the organization does not apply, so that it cannot lock out the operator. */
  exempt?: boolean
}

/**
 * Issues a token under `rules`, which were read before. One statement stores it if it needs nothing else and the rules
 * are still in force; otherwise a transaction does. Does not check permissions: the caller of this function must.
 */
export async function issueToken(db: Db, rules: IssuanceRules, issuance: Issuance): Promise<Issued> {
  const decision = decideIssuance(rules, issuance.input, issuance.origin.now)
  const needsMore = hasQuota(decision.policy) || decision.type.format !== 'opaque' || decision.recordsOwner
  if (!needsMore) {
    const draft = await draftToken(db, rules, decision, issuance)
    const row = await insertToken(db, { ...draft, revisions: revisionsOf(rules.organization, decision.type) })
    if (row) return issued(rules, decision, draft, row)
  }
  const organizationId = rules.organization.id
  return db.transaction().execute((tx) => issueInTransaction(tx, organizationId, issuance))
}

/** Issues a token under the current rules, which no transaction changes until this one ends. */
export async function issueInTransaction(
  tx: Db,
  organizationId: string,
  issuance: Issuance,
): Promise<Issued> {
  const { origin, input, exempt = false } = issuance
  const owner = input.owner?.subject ?? null
  const held = await holdRules(tx, { organization: organizationId, type: input.type, ownType: null, owner })
  if (!held) throw noSuchOrganization()
  const rules = exempt ? { ...held, organization: { ...held.organization, policy: {} } } : held
  const decision = decideIssuance(rules, input, origin.now)
  const draft = await draftToken(tx, rules, decision, issuance)
  // Before the row of the owner is locked, as in an import.
  await claimQuota(tx, decision.policy, { organizationId, owner, name: draft.token.name, now: origin.now })
  if (decision.owner && decision.recordsOwner) {
    const { subject, email, source: identitySource } = decision.owner
    await recordOwners(tx, [{ organizationId, subject, email, identitySource }], origin.now)
  }
  const revisions = revisionsOf(rules.organization, decision.type)
  const row = await insertTokenInTransaction(tx, { ...draft, revisions })
  return issued(rules, decision, draft, row)
}

type Draft = Awaited<ReturnType<typeof draftToken>>

/** The token with its secret and its change log event, ready to be stored. */
async function draftToken(
  db: Db,
  { organization }: IssuanceRules,
  decision: Decision,
  { origin, input, secretFrom }: Issuance,
) {
  const { type, owner, scopes, audience, expiresAt } = decision
  const { comment, metadata, notBefore, allowedCidrs, narrowedTo } = input
  await rejectWrongNarrowing(db, organization, { type: type.name, scopes, narrowedTo })
  const organizationId = organization.id
  const id = uuid()
  const facts = {
    id,
    organizationId,
    ownerSubject: owner?.subject ?? null,
    scopes,
    audience,
    notBefore,
    expiresAt,
    createdAt: origin.now,
  }
  const minted: Minted =
    secretFrom instanceof Secret
      ? { secret: secretFrom, signedBy: null }
      : await mintSecret(db, secretFrom, { ...facts, secretId: id, type, organizationKey: organization.key })
  const given = {
    ...facts,
    type: type.name,
    ownType: type.isOwn,
    name: input.name ?? generateName(minted.secret.hint()),
    comment,
    ownerEmail: owner?.email ?? null,
    ownerSource: owner?.source ?? null,
    metadata,
    allowedCidrs,
    narrowedTo,
    createdBy: origin.actor,
    updatedAt: origin.now,
  }
  const changes = { before: {}, after: grantSnapshot(given) }
  const event = eventOf(origin, tokenEvent('token.created', given, changes))
  const { secret, signedBy } = minted
  return { token: given, event, minted, secret: { hash: secret.hash(), hint: secret.hint(), signedBy } }
}

function issued(
  { organization }: IssuanceRules,
  { type, warnings }: Decision,
  { minted, secret: { hash, hint } }: Draft,
  row: Awaited<ReturnType<typeof insertTokenInTransaction>>,
): Issued {
  const token = {
    ...row,
    secretId: row.id,
    secretCreatedAt: row.createdAt,
    hash,
    hint,
    lastUsedAt: null,
    lastUsedIp: null,
    organizationKey: organization.key,
    expiryWarning: organization.policy.expiry_warning ?? null,
    rotateEveryDays: organization.policy.rotation?.every_days ?? null,
    endpoint: type.endpoint,
  }
  return { token, secret: minted.secret, warnings }
}
