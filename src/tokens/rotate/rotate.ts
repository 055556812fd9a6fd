import { v7 as uuid } from 'uuid'
import { type Caller, holds, isUser, onBehalfOf } from '../../access/caller.ts'
import { grantOfToken, rejectEscalation } from '../../access/escalation.ts'
import { eventOf, record } from '../../audit/audit.ts'
import type { Db } from '../../db/database.ts'
import { type Attempt, type Outcome, once } from '../../idempotency/idempotency.ts'
import { noSuchOrganization } from '../../organizations/lookup.ts'
import { ownerSuspensionRefusal, sourceRefusal } from '../../owners/source.ts'
import { effectivePolicy } from '../../policy/effective.ts'
import { AppError, invalidValue } from '../../shared/errors.ts'
import type { Policy } from '../../shared/policy.ts'
import { type ExpectedVersions, rejectStale } from '../../shared/preconditions.ts'
import { type HashText, hashText, type Secret } from '../../shared/secret.ts'
import { statusOf } from '../../shared/status.ts'
import { tokenEvent } from '../audit-event.ts'
import { suspensionRefusal } from '../create/decide.ts'
import { type AskedExpiry, dayMs, grantExpiry, type Warning } from '../create/lifetime.ts'
import { type Issuing, mintSecret } from '../create/mint.ts'
import {
  findRules,
  holdRules,
  type IssuanceRules,
  revisionsOf,
  type TypeRules,
} from '../create/rules-store.ts'
import { reachableToken, visible, type Which } from '../find.ts'
import { rejectStaticToken } from '../static-secret/static-secret.ts'
import type { Token } from '../store.ts'
import * as tokens from '../store.ts'
import { onlyOwner, presentedToken } from '../token-owner-scope.ts'
import { changing } from '../tokens.ts'
import { afterChanges, currentOf, earlier, later, supersedeCurrent, superseded } from './overlap.ts'
import { shownLive, shownNew, type TokenSecret } from './secrets.ts'
import * as store from './store.ts'

export type Rotation = {
  /** Undefined: the policy's default. */
  overlapSeconds: number | undefined
  /** Whether the overlap begins at once, or when the new secret is first presented. */
  activation: 'now' | 'first_use'
  /** Undefined: the token's expiry is kept. */
  expiry: AskedExpiry | undefined
}

export type Rotated = {
  token: Token
  secret: Secret
  warnings: Warning[]
  /** The secrets that are good or may become good. */
  secrets: TokenSecret[]
  /** The secrets that were good before, or that may be now. */
  affected: HashText[]
}

type Request<Answer> = {
  rotation: Rotation
  attempt: Attempt
  issuing: Issuing
  expected: ExpectedVersions
  /** Builds the response, which a retry with the same Idempotency-Key receives as well. */
  present(rotated: Rotated): Answer
}

/** Gives a token a new secret; the previous one stays good for an overlap. */
export async function rotateToken<Answer>(
  db: Db,
  caller: Caller,
  which: Which,
  request: Request<Answer>,
): Promise<Outcome<Answer>> {
  const { organizationId, token } = await reachableToken(db, caller, which)
  const owner = onlyOwner(caller, 'tokens:write')
  if (!token) rejectStaticToken(organizationId, which.token)
  const found = visible(token, owner)
  // The caller gets the secret, and with it all access of the token.
  const check = (token: Token) => rejectEscalation(caller, grantOfToken(token))
  check(found)
  return rotate(db, caller, found, { ...request, check })
}

/** The same for the token that the request presents, if it may rotate itself. */
export async function rotateSelf<Answer>(
  db: Db,
  caller: Caller,
  request: Request<Answer>,
): Promise<Outcome<Answer>> {
  const key = presentedToken(caller)
  rejectStaticToken(key.organizationId, key.id)
  const token = visible(await tokens.findToken(db, key), undefined)
  const check = (_token: Token, selfRotation: boolean) => {
    if (selfRotation || holds(caller.principal, 'tokens:write') || holds(caller.principal, 'tokens:own'))
      return
    throw new AppError(
      'insufficient_scope',
      'To rotate itself, a token needs the permission tokens:own, or a type with self_rotation.',
      { scope: 'tokens:own' },
    )
  }
  return rotate(db, caller, token, { ...request, check })
}

type Checked<Answer> = Request<Answer> & {
  /** Throws if the caller may not rotate the token. */
  check(token: Token, selfRotation: boolean): void
}

async function rotate<Answer>(
  db: Db,
  caller: Caller,
  found: Token,
  request: Checked<Answer>,
): Promise<Outcome<Answer>> {
  const { attempt, present } = request
  const inTransaction = async (tx: Db) => {
    const draft = await draftRotation(tx, caller, await lockForRotation(tx, found), request)
    return present(rotated(draft, await store.storeRotationInTransaction(tx, draft)))
  }
  if (attempt.key) {
    const { key, request: repeated } = attempt
    return once(db, caller, { organizationId: found.organizationId, key, request: repeated }, inTransaction)
  }
  const made = await rotateInOneStatement(db, caller, found, request)
  return { answer: made ? present(made) : await db.transaction().execute(inTransaction), replayed: false }
}

/** Undefined if a rotation needs more than one statement, or if something has changed since it was read. */
async function rotateInOneStatement<Answer>(
  db: Db,
  caller: Caller,
  found: Token,
  request: Checked<Answer>,
): Promise<Rotated | undefined> {
  const read = await readForRotation(db, found)
  if (read?.type.format !== 'opaque') return undefined
  const draft = await draftRotation(db, caller, read, request)
  const token = await store.storeRotation(db, draft)
  return token && rotated(draft, token)
}

/** A token, its secrets, and its rules. */
type Rotatable = { token: Token; rules: IssuanceRules; type: TypeRules; live: store.LiveSecret[] }

/** Undefined if the token has changed since it was found. */
async function readForRotation(db: Db, found: Token): Promise<Rotatable | undefined> {
  const [rules, live] = await Promise.all([findRules(db, rulesOf(found)), store.findLive(db, found)])
  if (!rules?.type || !live?.some(({ hash }) => hash.equals(found.hash))) return undefined
  return { token: found, rules, type: rules.type, live }
}

/** The same, and no other transaction changes it until the end of this one. */
export async function lockForRotation(tx: Db, found: Token): Promise<Rotatable> {
  // The rules before the token, to prevent deadlocks.
  const rules = await holdRules(tx, rulesOf(found))
  const token = visible(await tokens.lockToken(tx, found), undefined)
  if (!rules?.type) throw noSuchOrganization()
  // Only now: rows read by the locking statement itself may be older than the lock.
  const live = await store.selectLive(tx, token)
  return { token, rules, type: rules.type, live }
}

function rulesOf({ organizationId, type, ownType, ownerSubject }: Token) {
  return { organization: organizationId, type, ownType, owner: ownerSubject }
}

type Draft = Awaited<ReturnType<typeof draftRotation>>

/** The rotation with its secret and its change log event, ready to be stored. */
async function draftRotation<Answer>(
  db: Db,
  caller: Caller,
  { token, rules, type, live }: Rotatable,
  { rotation, issuing, expected, check }: Checked<Answer>,
) {
  check(token, type.selfRotation)
  rejectStale(token, expected)
  rejectUnrotatable(caller, token, { ...rules, type }, live)
  const { now } = caller
  const decision = decideRotation(rules, token, rotation, now)
  const { pending, warnings } = decision
  const changes = changesOf(token, live, decision)
  const id = uuid()
  const facts = { ...token, secretId: id, type, expiresAt: decision.expiresAt, createdAt: now }
  const { secret, signedBy } = await mintSecret(db, issuing, facts)
  const made = { hash: secret.hash(), id, hint: secret.hint(), signedBy, pending }
  const logged = {
    before: secretFacts(currentOf(live)),
    after: { ...secretFacts(made), ...decisionFacts(decision) },
  }
  const event = eventOf(onBehalfOf(caller, token.ownerSubject), tokenEvent('token.rotated', token, logged))
  const expiresAt = decision.changesExpiry && !pending ? decision.expiresAt : undefined
  const revisions = revisionsOf(rules.organization, type)
  return { token, live, made, changes, expiresAt, now, revisions, event, secret, warnings }
}

function rotated({ live, made, changes, now, secret, warnings }: Draft, token: Token): Rotated {
  const secrets = [shownNew(made, now), ...shownLive(afterChanges(live, changes), now)]
  const affected = [...live.map((one) => hashText(one.hash)), secret.hashText()]
  return { token, secret, warnings, secrets, affected }
}

type Decision = ReturnType<typeof decideRotation>

function decideRotation(rules: IssuanceRules, token: Token, rotation: Rotation, now: Date) {
  const policy = effectivePolicy(rules.organization.policy)
  const overlapSeconds = grantOverlap(policy.rotation, rotation)
  const changesExpiry = rotation.expiry !== undefined
  const { expiresAt, warnings } = newExpiry(rules, token, rotation, now)
  const lapsesAt = new Date(now.getTime() + policy.rotation.first_use_within_days * dayMs)
  const newExpiresAt = changesExpiry ? (expiresAt ?? ('infinity' as const)) : null
  /** Null: the overlap begins now. */
  const pending = rotation.activation === 'first_use' ? { lapsesAt, overlapSeconds, newExpiresAt } : null
  return { now, overlapSeconds, pending, changesExpiry, expiresAt, warnings }
}

/** The changes to the secrets of the token. */
function changesOf(
  token: Token,
  live: store.LiveSecret[],
  { overlapSeconds, pending, now }: Decision,
): store.SecretChange[] {
  const replaced = live
    .filter(({ lapsesAt }) => lapsesAt !== null)
    .map(({ hash }) => ({ hash, becomes: 'deleted' as const }))
  return pending ? replaced : [...replaced, ...replaceCurrent(token, live, { overlapSeconds, now })]
}

/** How the change log describes a secret. */
function secretFacts({ id, hint }: { id: string; hint: string }) {
  return { secret_id: id, hint }
}

function decisionFacts({ overlapSeconds, pending, changesExpiry, expiresAt }: Decision) {
  return {
    activation: pending ? 'first_use' : 'now',
    overlap_seconds: overlapSeconds,
    ...(pending && { lapses_at: pending.lapsesAt.toISOString() }),
    ...(changesExpiry && { expires_at: expiresAt?.toISOString() ?? null }),
  }
}

/** Ends the overlap now. Has no effect without one. */
export async function finishRotation(
  db: Db,
  caller: Caller,
  which: Which,
  expected: ExpectedVersions,
): Promise<Token> {
  return changing(db, caller, { ...which, expected }, async (tx, token) => {
    const overlapping = (await store.selectLive(tx, token)).filter((one) => one.validUntil !== null)
    for (const secret of overlapping) {
      await store.changeSecrets(tx, [superseded(secret, caller.now)])
      const before = { ...secretFacts(secret), valid_until: secret.validUntil?.toISOString() }
      const event = tokenEvent('token.rotation_finished', token, { before, after: {} })
      await record(tx, onBehalfOf(caller, token.ownerSubject), event)
    }
    return token
  })
}

/** Deletes the pending secret, as if the rotation had not been requested. */
export async function cancelRotation(
  db: Db,
  caller: Caller,
  which: Which,
  expected: ExpectedVersions,
): Promise<Token> {
  return changing(db, caller, { ...which, expected }, async (tx, token) => {
    const pending = (await store.selectLive(tx, token)).find(
      ({ lapsesAt }) => lapsesAt && lapsesAt > caller.now,
    )
    if (!pending)
      throw new AppError(
        'not_pending',
        'No secret of the token waits for its first use: it may have been used.',
      )
    await store.changeSecrets(tx, [{ hash: pending.hash, becomes: 'deleted' }])
    const changes = { before: secretFacts(pending), after: {} }
    const event = tokenEvent('token.rotation_cancelled', token, changes)
    await record(tx, onBehalfOf(caller, token.ownerSubject), event)
    return token
  })
}

/** A stolen secret must not outlive its overlap by rotating its token, so only the current one does. */
function rejectUnrotatable(
  { principal, now }: Caller,
  token: Token,
  { organization, type, owner }: IssuanceRules & { type: TypeRules },
  live: store.LiveSecret[],
): void {
  if (type.isSuspended) throw new AppError('suspended', `The token type ${type.name} is suspended.`)
  const refusal =
    suspensionRefusal(organization) ??
    (token.ownerSubject === null ? undefined : ownerSuspensionRefusal(owner, token.ownerSubject))
  if (refusal) throw refusal
  const status = statusOf(token, now)
  if (status === 'revoked' || status === 'expired')
    throw new AppError('not_rotatable', `The token is ${status}.`)
  if (isUser(principal) || principal.tokenId !== token.id) return
  if (principal.hash !== hashText(currentOf(live).hash))
    throw new AppError('superseded_secret', 'The request presented a secret that has been rotated.')
}

function grantOverlap(rules: Policy['rotation'], { overlapSeconds: asked }: Rotation): number {
  if (asked === undefined) return rules.default_overlap_seconds
  const most = rules.maximum_overlap_seconds
  if (asked > most)
    throw invalidValue('overlap_seconds', `must be at most ${most}, the longest that the policy allows`)
  return asked
}

function newExpiry({ organization, owner }: IssuanceRules, token: Token, { expiry }: Rotation, now: Date) {
  if (expiry === undefined) return { expiresAt: token.expiresAt, warnings: [] }
  const policy = effectivePolicy(organization.policy)
  const source = owner?.source ?? token.ownerSource ?? undefined
  const refusal = token.ownerSubject === null ? undefined : sourceRefusal(policy, source)
  if (refusal) throw refusal
  const granted = grantExpiry(policy.lifetime, expiry, now)
  if (token.notBefore && granted.expiresAt && token.notBefore >= granted.expiresAt)
    throw invalidValue(expiry.field, 'must be after not_before')
  return granted
}

/**
 * Makes room for a new current secret. At most two secrets are good: during an overlap, a secret that was never used is
 * replaced, since the response with it may have been lost.
 */
function replaceCurrent(
  token: Token,
  live: store.LiveSecret[],
  { overlapSeconds, now }: { overlapSeconds: number; now: Date },
): store.SecretChange[] {
  const overlapping = live.find(({ validUntil }) => validUntil && validUntil > now)
  const current = currentOf(live)
  if (!overlapping?.validUntil || overlapSeconds === 0)
    return supersedeCurrent(token, live, { overlapSeconds, now })
  if (current.lastUsedAt !== null)
    throw new AppError(
      'rotation_in_progress',
      `Two secrets of the token are in use until ${overlapping.validUntil.toISOString()}.`,
    )
  const validUntil = later(overlapping.validUntil, new Date(now.getTime() + overlapSeconds * 1000))
  return [
    superseded(current, now),
    {
      hash: overlapping.hash,
      becomes: 'overlapping',
      supersededAt: overlapping.supersededAt ?? now,
      validUntil: earlier(token.expiresAt, validUntil),
    },
  ]
}
