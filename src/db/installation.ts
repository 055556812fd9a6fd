import { sql } from 'kysely'
import type { Db } from './database.ts'

/** What a revocation, a deletion or a suspension is acknowledged after: its own commit, or that of a standby too. */
export const durabilities = ['local', 'remote'] as const
export type Durability = (typeof durabilities)[number]

/** From now on, for all instances on the database; triggers look at it. */
export async function setDurability(db: Db, revocationDurability: Durability): Promise<void> {
  const changed = db.updateTable('installation').set({ revocationDurability })
  await changed.where('revocationDurability', '<>', revocationDurability).execute()
}

export async function hasSynchronousStandbys(db: Db): Promise<boolean> {
  const { rows } = await sql<{ names: string }>`
    select current_setting('synchronous_standby_names') as names`.execute(db)
  return rows[0]?.names !== ''
}

/** How long PostgreSQL lets a statement take; 0: as long as it takes. */
export async function statementLimitMs(db: Db): Promise<number> {
  const { rows } = await sql<{ ms: number }>`
    select setting::integer as ms from pg_settings where name = 'statement_timeout'`.execute(db)
  return rows[0]?.ms ?? 0
}

/**
 * The key that cursors are signed with: one for all instances on a database, made by the migration. It guards no
 * data, since a cursor only says where to go on in a list that its reader may read.
 */
export async function readCursorKey(db: Db): Promise<Buffer> {
  const { cursorKey } = await db.selectFrom('installation').select('cursorKey').executeTakeFirstOrThrow()
  return cursorKey
}
