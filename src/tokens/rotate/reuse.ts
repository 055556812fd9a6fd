import { v7 as uuid } from 'uuid'
import type { Actor } from '../../access/caller.ts'
import { record } from '../../audit/audit.ts'
import type { Db } from '../../db/database.ts'
import { holdOrganization } from '../../organizations/lookup.ts'
import { effectivePolicy } from '../../policy/effective.ts'
import type { HashText } from '../../shared/secret.ts'
import { statusOf } from '../../shared/status.ts'
import { tokenEvent } from '../audit-event.ts'
import { revokeLocked } from '../revoke.ts'
import { lockToken } from '../store.ts'
import { currentOf } from './overlap.ts'
import * as store from './store.ts'

/** A secret that was presented and is not good, with the time and address. */
export type Presented = { hash: HashText; at: Date; from: string | null }

const actor: Actor = { type: 'system', id: 'reuse', name: 'Reuse of a superseded secret' }

/**
 * Records the use of superseded secrets whose tokens are in use with another secret: two parties then hold the token,
 * and one may be a thief. Returns the hashes for which this is not (yet) the case.
 */
export async function recordReuses(db: Db, presented: Presented[]): Promise<HashText[]> {
  const undecided: HashText[] = []
  const superseded = await store.findSuperseded(
    db,
    presented.map(({ hash }) => hash),
  )
  for (const one of superseded) {
    const { at, from } = presented.find(({ hash }) => hash === one.hash) as Presented
    const decided = await db.transaction().execute((tx) => recordReuse(tx, one, at, from))
    if (!decided) undecided.push(one.hash)
  }
  return undecided
}

async function recordReuse(
  tx: Db,
  { hash, organizationId, tokenId: id }: store.Superseded,
  now: Date,
  from: string | null,
): Promise<boolean> {
  // Always lock the organization before the token, to prevent deadlocks.
  const { policy } = await holdOrganization(tx, organizationId)
  const token = await lockToken(tx, { organizationId, id })
  const secret = await store.readSuperseded(tx, hash)
  if (!token || !secret || statusOf(token, now) !== 'active') return true
  if (!secret.successorUsed) return false
  // Once per family of secrets, until the token is rotated again.
  const current = currentOf(await store.selectLive(tx, token))
  if (secret.lastReusedAt && secret.lastReusedAt >= current.createdAt) return true
  await store.markReused(tx, hash, now, from)
  const { on_superseded_use: reaction } = effectivePolicy(policy).rotation
  if (reaction === 'ignore') return true
  const origin = { actor, requestId: uuid(), ip: from, now }
  const after = { secret_id: secret.id, hint: secret.hint, valid_until: secret.validUntil.toISOString() }
  await record(tx, origin, tokenEvent('token.superseded_secret_used', token, { before: {}, after }))
  if (reaction === 'notify') return true
  await revokeLocked(tx, origin, token, 'A superseded secret was used')
  return true
}
