import { v7 as uuid } from 'uuid'
import { type Caller, holds, isUser, onBehalfOf } from '../../access/caller.ts'
import { grantOfToken, rejectEscalation } from '../../access/escalation.ts'
import { record } from '../../audit/audit.ts'
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
import { holdRules, type IssuanceRules, type TypeRules } from '../create/rules-store.ts'
import { reachableToken, visible, type Which } from '../find.ts'
import { rejectStaticToken } from '../static-secret/static-secret.ts'
import type { Token } from '../store.ts'
import * as tokens from '../store.ts'
import { onlyOwner, presentedToken } from '../token-owner-scope.ts'
import { changing } from '../tokens.ts'
import { currentOf, earlier, later, supersedeCurrent } from './overlap.ts'
import { shownLive, type TokenSecret } from './secrets.ts'
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
  // The caller gets the secret, and with it everything that the token can do.
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
  { rotation, attempt: { key, request }, issuing, expected, present, check }: Checked<Answer>,
): Promise<Outcome<Answer>> {
  const work = async (tx: Db) => {
    const { token, rules, type, live } = await lockForRotation(tx, found)
    check(token, type.selfRotation)
    rejectStale(token, expected)
    rejectUnrotatable(caller, token, { ...rules, type }, live)
    const decision = decideRotation(rules, token, rotation, caller.now)
    const id = uuid()
    const { expiresAt } = decision
    const facts = { ...token, secretId: id, type, expiresAt, createdAt: caller.now }
    const { secret, signedBy } = await mintSecret(tx, issuing, facts)
    const made = { hash: secret.hash(), id, hint: secret.hint(), signedBy, createdAt: caller.now }
    const rotated = await storeRotation(tx, { token, live }, made, decision)
    const changes = {
      before: secretFacts(currentOf(live)),
      after: { ...secretFacts(made), ...decisionFacts(decision) },
    }
    await record(tx, onBehalfOf(caller, token.ownerSubject), tokenEvent('token.rotated', token, changes))
    const secrets = shownLive(await store.selectLive(tx, token), caller.now)
    const affected = [...live.map((one) => hashText(one.hash)), secret.hashText()]
    return present({ token: rotated, secret, warnings: decision.warnings, secrets, affected })
  }
  if (key) return once(db, caller, { organizationId: found.organizationId, key, request }, work)
  return { answer: await db.transaction().execute(work), replayed: false }
}

/** The token, which nothing else changes from now on, its secrets, and the rules that hold for it. */
export async function lockForRotation(tx: Db, found: Token) {
  const { organizationId, type: name, ownerSubject: owner } = found
  // The rules before the token, to prevent deadlocks.
  const rules = await holdRules(tx, { organization: organizationId, type: name, owner })
  const token = visible(await tokens.lockToken(tx, found), undefined)
  if (!rules?.type) throw noSuchOrganization()
  // Only now: what is read with the lock may be older than the lock.
  const live = await store.selectLive(tx, token)
  return { token, rules, type: rules.type, live }
}

type Decision = ReturnType<typeof decideRotation>

function decideRotation(rules: IssuanceRules, token: Token, rotation: Rotation, now: Date) {
  const policy = effectivePolicy(rules.organization.policy)
  const lapsesAt = new Date(now.getTime() + policy.rotation.first_use_within_days * dayMs)
  return {
    now,
    overlapSeconds: grantOverlap(policy.rotation, rotation),
    /** Null: the overlap begins now. */
    lapsesAt: rotation.activation === 'first_use' ? lapsesAt : null,
    changesExpiry: rotation.expiry !== undefined,
    ...newExpiry(rules, token, rotation, now),
  }
}

async function storeRotation(
  tx: Db,
  { token, live }: { token: Token; live: store.LiveSecret[] },
  made: store.NewSecret,
  { now, overlapSeconds, lapsesAt, changesExpiry, expiresAt }: Decision,
): Promise<Token> {
  const replaced = live.find((one) => one.lapsesAt !== null)
  if (replaced) await store.deleteSecret(tx, replaced)
  if (lapsesAt) {
    const newExpiresAt = changesExpiry ? (expiresAt ?? 'infinity') : null
    await store.insertSecret(tx, token, { ...made, pending: { lapsesAt, overlapSeconds, newExpiresAt } })
    return tokens.updateToken(tx, token, { updatedAt: now })
  }
  await replaceCurrent(tx, token, live, { overlapSeconds, now })
  await store.insertSecret(tx, token, made)
  const rotated = await tokens.updateToken(tx, token, { updatedAt: now, expiresAt })
  return { ...rotated, secretId: made.id, secretCreatedAt: now, hint: made.hint, hash: made.hash }
}

/** What the change log says of a secret. */
function secretFacts({ id, hint }: { id: string; hint: string }) {
  return { secret_id: id, hint }
}

function decisionFacts({ overlapSeconds, lapsesAt, changesExpiry, expiresAt }: Decision) {
  return {
    activation: lapsesAt ? 'first_use' : 'now',
    overlap_seconds: overlapSeconds,
    ...(lapsesAt && { lapses_at: lapsesAt.toISOString() }),
    ...(changesExpiry && { expires_at: expiresAt?.toISOString() ?? null }),
  }
}

/** Ends the overlap now. Without one there is nothing to do. */
export async function finishRotation(
  db: Db,
  caller: Caller,
  which: Which,
  expected: ExpectedVersions,
): Promise<Token> {
  return changing(db, caller, { ...which, expected }, async (tx, token) => {
    const overlapping = (await store.selectLive(tx, token)).filter((one) => one.validUntil !== null)
    for (const secret of overlapping) {
      const { hash, validUntil } = secret
      await store.endSecret(tx, hash, earlier(validUntil, caller.now))
      const before = { ...secretFacts(secret), valid_until: validUntil?.toISOString() }
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
    await store.deleteSecret(tx, pending)
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
async function replaceCurrent(
  tx: Db,
  token: Token,
  live: store.LiveSecret[],
  { overlapSeconds, now }: { overlapSeconds: number; now: Date },
): Promise<void> {
  const overlapping = live.find(({ validUntil }) => validUntil && validUntil > now)
  const current = currentOf(live)
  if (!overlapping?.validUntil || overlapSeconds === 0)
    return supersedeCurrent(tx, token, live, { overlapSeconds, now })
  if (current.lastUsedAt !== null)
    throw new AppError(
      'rotation_in_progress',
      `Two secrets of the token are in use until ${overlapping.validUntil.toISOString()}.`,
    )
  const validUntil = later(overlapping.validUntil, new Date(now.getTime() + overlapSeconds * 1000))
  await store.endSecret(tx, current.hash, now)
  await store.supersede(tx, overlapping.hash, {
    supersededAt: overlapping.supersededAt ?? now,
    validUntil: earlier(token.expiresAt, validUntil),
  })
}
