import { v7 as uuid } from 'uuid'
import { type Caller, holds, isUser, onBehalfOf } from '../../access/caller.ts'
import { grantOfToken, refuseEscalation } from '../../access/escalation.ts'
import { record } from '../../audit/audit.ts'
import type { Db } from '../../db/database.ts'
import { type Attempt, type Outcome, once } from '../../idempotency/idempotency.ts'
import { noSuchOrganization } from '../../organizations/lookup.ts'
import { ownerSuspensionRefusal, sourceRefusal } from '../../owners/source.ts'
import { effectivePolicy } from '../../policy/effective.ts'
import { AppError, invalidValue } from '../../shared/errors.ts'
import type { Policy } from '../../shared/policy.ts'
import { type ExpectedVersions, refuseStale } from '../../shared/preconditions.ts'
import { hashText, type Secret } from '../../shared/secret.ts'
import { statusOf } from '../../shared/status.ts'
import { tokenEvent } from '../audit-event.ts'
import { suspensionRefusal } from '../create/decide.ts'
import { type AskedExpiry, dayMs, grantExpiry, type Warning } from '../create/lifetime.ts'
import { type Issuing, mintSecret } from '../create/mint.ts'
import { holdRules, type IssuanceRules } from '../create/rules-store.ts'
import { reachableToken, visible } from '../find.ts'
import { refuseStaticToken } from '../static-secret/static-secret.ts'
import type { Token } from '../store.ts'
import * as tokens from '../store.ts'
import { onlyOwner, presentedToken } from '../token-owner-scope.ts'
import { changing } from '../tokens.ts'
import { earlier, later, supersedeCurrent } from './overlap.ts'
import { listSecrets, type TokenSecret } from './secrets.ts'
import * as store from './store.ts'

export type Rotation = {
  /** Undefined: the policy's default. */
  overlapSeconds: number | undefined
  /** Whether the overlap begins at once, or when the new secret is first presented. */
  activation: 'now' | 'first_use'
  /** Undefined: the token's expiry is kept. */
  expiry: AskedExpiry | undefined
}

export type Rotated = { token: Token; secret: Secret; warnings: Warning[]; secrets: TokenSecret[] }

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
  organizationKey: string,
  id: string,
  request: Request<Answer>,
): Promise<Outcome<Answer>> {
  const { organizationId, token } = await reachableToken(db, caller, organizationKey, id)
  const owner = onlyOwner(caller, 'tokens:write')
  if (!token) refuseStaticToken(organizationId, id)
  // The caller gets the secret, and with it everything that the token can do.
  const check = (token: Token | undefined) => refuseEscalation(caller, grantOfToken(visible(token, owner)))
  check(token)
  return rotate(db, caller, { organizationId, id }, request, check)
}

/** The same for the token that the request presents, if it may rotate itself. */
export async function rotateSelf<Answer>(
  db: Db,
  caller: Caller,
  request: Request<Answer>,
): Promise<Outcome<Answer>> {
  const key = presentedToken(caller)
  refuseStaticToken(key.organizationId, key.id)
  return rotate(db, caller, key, request, (_token, selfRotation) => {
    if (selfRotation || holds(caller.principal, 'tokens:write') || holds(caller.principal, 'tokens:own'))
      return
    throw new AppError(
      'insufficient_scope',
      'To rotate itself, a token needs the permission tokens:own, or a type with self_rotation.',
      { scope: 'tokens:own' },
    )
  })
}

async function rotate<Answer>(
  db: Db,
  caller: Caller,
  { organizationId, id }: { organizationId: string; id: string },
  { rotation, attempt: { key, request }, issuing, expected, present }: Request<Answer>,
  check: (token: Token | undefined, selfRotation: boolean) => void,
): Promise<Outcome<Answer>> {
  const work = async (tx: Db) => {
    const { type, ownerSubject } = visible(await tokens.findToken(tx, { organizationId, id }), undefined)
    // The rules before the token, to prevent deadlocks.
    const rules = await holdRules(tx, { organization: organizationId, type, owner: ownerSubject })
    const token = visible(await tokens.lockToken(tx, { organizationId, id }), undefined)
    if (!rules?.type) throw noSuchOrganization()
    check(token, rules.type.selfRotation)
    refuseStale(token, expected)
    const { organization } = rules
    if (rules.type.isSuspended) throw new AppError('suspended', `The token type ${type} is suspended.`)
    const refusal =
      suspensionRefusal(organization) ??
      (ownerSubject === null ? undefined : ownerSuspensionRefusal(rules.owner, ownerSubject))
    if (refusal) throw refusal
    refuseUnrotatable(caller, token)
    const policy = effectivePolicy(organization.policy)
    const overlapSeconds = grantOverlap(policy.rotation, rotation)
    const { expiresAt, warnings } = newExpiry(policy, token, rules.owner, rotation, caller.now)
    const secretId = uuid()
    const facts = { ...token, secretId, type: rules.type, expiresAt, createdAt: caller.now }
    const { secret, signedBy } = await mintSecret(tx, issuing, facts)
    const made = { hash: secret.hash(), id: secretId, hint: secret.hint(), signedBy, createdAt: caller.now }
    const lapsesAt = new Date(caller.now.getTime() + policy.rotation.first_use_within_days * dayMs)
    const before = await store.selectLive(tx, token)
    const replaced = before.find((one) => one.lapsesAt !== null)
    if (replaced) await store.deleteSecret(tx, replaced.hash)
    if (rotation.activation === 'now') {
      await replaceCurrent(tx, token, before, overlapSeconds, caller.now)
      await store.insertSecret(tx, token, made)
      await store.countUses(tx, token, secretId)
    } else {
      const newExpiresAt = rotation.expiry === undefined ? null : (expiresAt ?? 'infinity')
      await store.insertSecret(tx, token, { ...made, pending: { lapsesAt, overlapSeconds, newExpiresAt } })
    }
    const changed = await tokens.updateToken(tx, token, {
      updatedAt: caller.now,
      ...(rotation.activation === 'now' && { expiresAt }),
    })
    const changes = {
      before: { secret_id: token.secretId, hint: token.hint },
      after: {
        secret_id: secretId,
        hint: made.hint,
        activation: rotation.activation,
        overlap_seconds: overlapSeconds,
        ...(rotation.activation === 'first_use' && { lapses_at: lapsesAt.toISOString() }),
        ...(rotation.expiry && { expires_at: expiresAt?.toISOString() ?? null }),
      },
    }
    await record(tx, onBehalfOf(caller, token.ownerSubject), tokenEvent('token.rotated', token, changes))
    const current =
      rotation.activation === 'now'
        ? { secretId, secretCreatedAt: caller.now, hint: made.hint, hash: made.hash }
        : {}
    const secrets = await listSecrets(tx, token, caller.now)
    return present({ token: { ...changed, ...current }, secret, warnings, secrets })
  }
  if (key) return once(db, caller, organizationId, { key, request }, work)
  return { answer: await db.transaction().execute(work), replayed: false }
}

/** Ends the overlap now. Without one there is nothing to do. */
export async function finishRotation(
  db: Db,
  caller: Caller,
  organizationKey: string,
  id: string,
  expected: ExpectedVersions,
): Promise<Token> {
  return changing(db, caller, { organizationKey, id, expected }, async (tx, token) => {
    const overlapping = (await store.selectLive(tx, token)).filter((one) => one.validUntil !== null)
    for (const { hash, id: secret_id, hint, validUntil } of overlapping) {
      await store.endSecret(tx, hash, earlier(validUntil, caller.now))
      const changes = { before: { secret_id, hint, valid_until: validUntil?.toISOString() }, after: {} }
      const event = tokenEvent('token.rotation_finished', token, changes)
      await record(tx, onBehalfOf(caller, token.ownerSubject), event)
    }
    return token
  })
}

/** Deletes the pending secret, as if the rotation had not been requested. */
export async function cancelRotation(
  db: Db,
  caller: Caller,
  organizationKey: string,
  id: string,
  expected: ExpectedVersions,
): Promise<Token> {
  return changing(db, caller, { organizationKey, id, expected }, async (tx, token) => {
    const pending = (await store.selectLive(tx, token)).find(
      ({ lapsesAt }) => lapsesAt && lapsesAt > caller.now,
    )
    if (!pending)
      throw new AppError(
        'not_pending',
        'No secret of the token waits for its first use: it may have been used.',
      )
    await store.deleteSecret(tx, pending.hash)
    const changes = { before: { secret_id: pending.id, hint: pending.hint }, after: {} }
    const event = tokenEvent('token.rotation_cancelled', token, changes)
    await record(tx, onBehalfOf(caller, token.ownerSubject), event)
    return token
  })
}

/** A stolen secret must not outlive its overlap by rotating itself, so only the current one rotates its token. */
function refuseUnrotatable({ principal, now }: Caller, token: Token): void {
  const status = statusOf(token, now)
  if (status === 'revoked' || status === 'expired')
    throw new AppError('not_rotatable', `The token is ${status}.`)
  if (isUser(principal) || principal.tokenId !== token.id || principal.hash === hashText(token.hash)) return
  throw new AppError('superseded_secret', 'The request presented a secret that has been rotated.')
}

function grantOverlap(rules: Policy['rotation'], { overlapSeconds: asked }: Rotation): number {
  if (asked === undefined) return rules.default_overlap_seconds
  const most = rules.maximum_overlap_seconds
  if (asked > most)
    throw invalidValue('overlap_seconds', `must be at most ${most}, the longest that the policy allows`)
  return asked
}

function newExpiry(
  policy: Policy,
  token: Token,
  owner: IssuanceRules['owner'],
  { expiry }: Rotation,
  now: Date,
) {
  if (expiry === undefined) return { expiresAt: token.expiresAt, warnings: [] }
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
  overlapSeconds: number,
  now: Date,
): Promise<void> {
  const overlapping = live.find(({ validUntil }) => validUntil && validUntil > now)
  const current = live.find((one) => one.supersededAt === null && one.lapsesAt === null)
  if (!overlapping?.validUntil || !current || overlapSeconds === 0)
    return supersedeCurrent(tx, token, live, overlapSeconds, now)
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
