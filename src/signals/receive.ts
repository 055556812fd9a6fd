import { createHash } from 'node:crypto'
import type { JWTVerifyGetKey } from 'jose'
import type { Origin } from '../access/caller.ts'
import { batchSize, inBatches } from '../db/batches.ts'
import type { Db } from '../db/database.ts'
import type { Owner, SignalAction, TrustedIssuer } from '../db/tables.ts'
import { logOwner, resumeBy, type SuspensionSource, suspendBy, suspendedBy } from '../owners/suspension.ts'
import { endSessionsOf } from '../sessions/sessions.ts'
import { AppError } from '../shared/errors.ts'
import { revokeTokensOf } from '../tokens/owners.ts'
import { actionFor, isAboutState, isVerification, nameOf } from './events.ts'
import * as store from './store.ts'
import { type Names, namesIn } from './subject.ts'
import { claimed, keptDays, type SecurityEvent, verifyEvent } from './verify.ts'

export type ReceiveContext = { keysOf: (issuer: TrustedIssuer) => JWTVerifyGetKey }

/** Where an event came from, for the change log; the actor is the issuer. */
export type Delivery = Pick<Origin, 'requestId' | 'ip' | 'now'>

/** Receives a pushed event; throws an error that says why the token is rejected. */
export async function receiveSecurityEvent(
  db: Db,
  { organization, issuer }: { organization: string; issuer: string },
  token: string,
  { delivery, context }: { delivery: Delivery; context: ReceiveContext },
): Promise<void> {
  // Before any lookup, so that invalid tokens cost nothing.
  claimed(token)
  const found = await store.findEnabledStream(db, organization, issuer)
  if (!found) throw new AppError('not_found', 'There is no stream of security events at this path.')
  await handleEvent(db, found, token, { delivery, context })
}

/** Verifies an event and applies it, once. No event is recorded that could not be handled. */
export async function handleEvent(
  db: Db,
  { stream, issuer }: store.IssuerStream,
  token: string,
  { delivery, context }: { delivery: Delivery; context: ReceiveContext },
): Promise<void> {
  const keys = context.keysOf({ ...issuer, jwksUri: stream.jwksUri ?? issuer.jwksUri })
  const event = await verifyEvent(token, issuer, stream.audience, { keys, now: delivery.now })
  const jtiHash = createHash('sha256').update(event.jti).digest()
  if (await store.isRemembered(db, stream, jtiHash))
    return store.count(db, stream, ['received', 'duplicates'], {})
  const origin: Origin = {
    ...delivery,
    actor: { type: 'system', id: `signals:${issuer.id}`, name: issuer.name },
  }
  const planned = event.events.map(([type, payload]) => ({
    type,
    payload,
    action: actionFor(type, stream.actions),
    // SSF §3.1: before `sub_id`, each event had its own `subject`.
    names: namesIn(event.subject ?? payload.subject, issuer.issuer),
  }))
  // Sessions end after every event about a user: at the next sign-in, the issuer sends the current claims.
  await endSessionsOf(db, origin, issuer.id, {
    subjects: planned.flatMap(({ names }) => names.subjects),
    emails: planned.flatMap(({ names }) => names.emails),
  })
  // Not in the transaction, since there may be any number of tokens. If it fails later, the event is delivered again.
  for (const { action, names } of planned)
    if (action === 'revoke') await revokeTokens(db, origin, { issuer, names, event })
  await db.transaction().execute(async (tx) => {
    const isNew = await store.remember(tx, stream, { jtiHash, receivedAt: delivery.now })
    if (!isNew) return store.count(tx, stream, ['received', 'duplicates'], {})
    const counted: store.Counted[] = ['received']
    const verified = planned.find(({ type }) => isVerification(type))
    for (const { type, action, names } of planned) {
      if (action === 'ignore') continue
      const owners = await store.lockNamedOwners(tx, issuer, names)
      if (owners.length === 0) counted.push('unknownSubjects')
      for (const owner of owners) await applyTo(tx, origin, owner, { type, action, issuer, event })
    }
    await store.count(tx, stream, [...new Set(counted)], {
      lastEventAt: delivery.now,
      ...(verified && { verifiedAt: delivery.now, verificationState: stateIn(verified.payload) }),
    })
  })
}

type Applied = { type: string; action: SignalAction; issuer: TrustedIssuer; event: SecurityEvent }

async function applyTo(
  tx: Db,
  origin: Origin,
  owner: Owner,
  { type, action, issuer, event }: Applied,
): Promise<void> {
  const cause = { event: type, jti: event.jti, issuer: issuer.issuer }
  const isStale =
    action !== 'notify' &&
    isAboutState(type) &&
    owner.signalledAt !== null &&
    event.issuedAt < owner.signalledAt
  await logOwner(tx, origin, owner, {
    action: 'owner.signal_received',
    changes: { before: {}, after: { ...cause, action: isStale ? 'ignore' : action } },
  })
  if (isStale || action === 'notify') return
  if (isAboutState(type)) await store.setSignalledAt(tx, owner, event.issuedAt)
  const prefix = `signals:${issuer.id}:` as const
  if (action === 'resume') {
    const ended = suspendedBy(owner).filter(
      (source): source is SuspensionSource =>
        source.startsWith(prefix) && isAboutState(source.slice(prefix.length)),
    )
    await resumeBy(tx, origin, owner, { ended, details: cause })
  } else await suspendBy(tx, origin, owner, { source: `${prefix}${nameOf(type)}`, details: cause })
}

async function revokeTokens(
  db: Db,
  origin: Origin,
  { issuer, names, event }: { issuer: TrustedIssuer; names: Names; event: SecurityEvent },
): Promise<void> {
  const owners = await db.transaction().execute((tx) => store.lockNamedOwners(tx, issuer, names))
  for (const { organizationId, subject } of owners)
    await revokeTokensOf(
      db,
      origin,
      { organizationId, subject },
      `Security event ${event.jti} of ${issuer.issuer}`,
    )
}

function stateIn({ state }: Record<string, unknown>): string | null {
  return typeof state === 'string' && state.isWellFormed() && !state.includes('\0')
    ? state.slice(0, 255)
    : null
}

/** Older events are rejected by their `iat`, so their ids are not needed any more. */
export async function deleteOldSecurityEvents(db: Db, now: Date): Promise<number> {
  const before = new Date(now.getTime() - (keptDays + 1) * 24 * 60 * 60 * 1000)
  return inBatches(() => store.deleteEventsBefore(db, before, batchSize))
}
