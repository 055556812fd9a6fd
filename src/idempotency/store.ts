import { sql } from 'kysely'
import type { Db } from '../db/database.ts'

/**
 * Claims the key for the rest of the transaction; false if it is taken. If another transaction is claiming it, waits
 * for that one to end. An expired key can be claimed again.
 */
export async function claimKey(
  tx: Db,
  { now, ...key }: { hash: Buffer; organizationId: string; fingerprint: Buffer; expiresAt: Date; now: Date },
): Promise<boolean> {
  const claimed = await tx
    .insertInto('idempotencyKeys')
    .values({ ...key, answer: null })
    .onConflict((conflict) =>
      conflict
        .column('hash')
        .doUpdateSet({ ...key, answer: null })
        .where('idempotencyKeys.expiresAt', '<=', now),
    )
    .returning('hash')
    .executeTakeFirst()
  return claimed !== undefined
}

export async function keepAnswer(tx: Db, hash: Buffer, answer: Buffer): Promise<void> {
  await tx.updateTable('idempotencyKeys').set({ answer }).where('hash', '=', hash).execute()
}

export async function findAnswer(db: Db, hash: Buffer) {
  return db
    .selectFrom('idempotencyKeys')
    .select(['fingerprint', 'answer'])
    .where('hash', '=', hash)
    .executeTakeFirst()
}

/** Deletes at most `limit` rows, skips those that another transaction is deleting, and returns how many it deleted. */
export async function deleteExpired(db: Db, now: Date, limit: number): Promise<number> {
  const expired = db
    .selectFrom('idempotencyKeys')
    .select('hash')
    .where('expiresAt', '<=', now)
    .orderBy('expiresAt')
    .limit(limit)
    .forUpdate()
    .skipLocked()
  const { numAffectedRows } =
    await sql`delete from idempotency_keys where hash = any(array(${expired}))`.execute(db)
  return Number(numAffectedRows)
}
