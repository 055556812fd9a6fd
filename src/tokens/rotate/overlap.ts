import { batchSize, inBatches } from '../../db/batches.ts'
import type { Db } from '../../db/database.ts'
import { platformPolicy } from '../../policy/effective.ts'
import type { Token } from '../store.ts'
import type { LiveSecret, SecretChange } from './store.ts'
import * as store from './store.ts'

/**
 * The current secret stays good for the overlap, but never longer than it would have been without the rotation. A secret
 * still in the overlap of an earlier rotation ends, so that at most two are good.
 */
export function supersedeCurrent(
  token: Token,
  live: LiveSecret[],
  { overlapSeconds, now }: { overlapSeconds: number; now: Date },
): SecretChange[] {
  return live
    .filter(({ lapsesAt }) => lapsesAt === null)
    .map((one) => {
      if (one.supersededAt !== null || overlapSeconds === 0) return superseded(one, now)
      const end = new Date(now.getTime() + overlapSeconds * 1000)
      const { hash } = one
      return { hash, becomes: 'overlapping', supersededAt: now, validUntil: earlier(token.expiresAt, end) }
    })
}

/** The secret ends now, unless its overlap is over already. */
export function superseded({ hash, validUntil }: LiveSecret, now: Date): SecretChange {
  return { hash, becomes: 'superseded', validUntil: earlier(validUntil, now) }
}

/** The secrets that are still good or pending after these changes. */
export function afterChanges(live: LiveSecret[], changes: SecretChange[]): LiveSecret[] {
  return live.flatMap((one) => {
    const change = changes.find(({ hash }) => hash.equals(one.hash))
    if (!change) return [one]
    if (change.becomes !== 'overlapping') return []
    return [{ ...one, supersededAt: change.supersededAt, validUntil: change.validUntil }]
  })
}

/** A token always has exactly one. */
export function currentOf(live: LiveSecret[]): LiveSecret {
  const current = live.find((one) => one.supersededAt === null && one.lapsesAt === null)
  if (!current) throw new Error('the token has no current secret')
  return current
}

/** Null: never. */
export function earlier(one: Date | null, other: Date): Date {
  return one !== null && one < other ? one : other
}

export function later(one: Date, other: Date): Date {
  return one > other ? one : other
}

/** Removes secrets whose overlap is over, which also announces their end, and deletes lapsed ones. */
export async function endDueSecrets(db: Db, now: Date): Promise<void> {
  await inBatches(() => store.endDue(db, now, batchSize))
}

/** Deletes, in batches, superseded secrets and those of deleted tokens after their retention. */
export async function deleteOldSuperseded(db: Db, now: Date): Promise<void> {
  const usualDays = platformPolicy.rotation.keep_superseded_days
  await inBatches(() => store.deleteSuperseded(db, now, { usualDays, limit: batchSize }))
  await inBatches(() => store.deleteDeleted(db, now, { usualDays, limit: batchSize }))
}
