import { v7 as uuid } from 'uuid'
import { record } from '../../audit/audit.ts'
import type { Db } from '../../db/database.ts'
import type { HashText, SecretHash } from '../../shared/secret.ts'
import { statusOf } from '../../shared/status.ts'
import { tokenEvent } from '../audit-event.ts'
import { lockToken, updateToken } from '../store.ts'
import { currentOf, supersedeCurrent } from './overlap.ts'
import * as store from './store.ts'

/**
 * The first use of a pending secret: it becomes the token's current one, and the overlap of the previous one begins.
 * Has no effect if another instance did it, or if the secret was cancelled or lapsed in the meantime.
 */
export async function activateSecret(db: Db, hash: HashText, now: Date, from: string | null): Promise<void> {
  await db.transaction().execute(async (tx) => {
    const key = await store.findTokenOf(tx, Buffer.from(hash, 'base64') as SecretHash)
    const token = key && (await lockToken(tx, key))
    if (!token || statusOf(token, now) !== 'active') return
    const live = await store.selectLive(tx, token)
    const pending = live.find(({ lapsesAt }) => lapsesAt && lapsesAt > now)
    if (pending?.hash.toString('base64') !== hash) return
    await store.changeSecrets(tx, [
      ...supersedeCurrent(token, live, { overlapSeconds: pending.overlapSeconds ?? 0, now }),
      { hash: pending.hash, becomes: 'current' },
    ])
    const { newExpiresAt } = pending
    await updateToken(tx, token, {
      updatedAt: now,
      ...(newExpiresAt !== null && { expiresAt: newExpiresAt instanceof Date ? newExpiresAt : null }),
    })
    const actor = { type: 'token', id: token.id, name: token.name } as const
    const current = currentOf(live)
    const changes = {
      before: { secret_id: current.id, hint: current.hint },
      after: { secret_id: pending.id, hint: pending.hint, overlap_seconds: pending.overlapSeconds },
    }
    const event = tokenEvent('token.rotation_activated', token, changes)
    await record(tx, { actor, requestId: uuid(), ip: from, now }, event)
  })
}
