import { sql } from 'kysely'
import type { Db } from './database.ts'

/** When a revocation, deletion or suspension is acknowledged: after the local commit, or after a standby has it too. */
export const durabilities = ['local', 'remote'] as const
export type Durability = (typeof durabilities)[number]

/** Sets it for all instances on the database; triggers read it. */
export async function setDurability(db: Db, revocationDurability: Durability): Promise<void> {
  const changed = db.updateTable('installation').set({ revocationDurability })
  await changed.where('revocationDurability', '<>', revocationDurability).execute()
}

export async function hasSynchronousStandbys(db: Db): Promise<boolean> {
  const { rows } = await sql<{ names: string }>`
    select current_setting('synchronous_standby_names') as names`.execute(db)
  return rows[0]?.names !== ''
}

/** The database's clock and version. */
export async function readServerFacts(db: Db): Promise<{ now: Date; version: string }> {
  const { rows } = await sql<{ now: Date; version: string }>`
    select clock_timestamp() as now, current_setting('server_version') as version`.execute(db)
  return rows[0] as { now: Date; version: string }
}

/** PostgreSQL's statement timeout; 0 means none. */
export async function statementLimitMs(db: Db): Promise<number> {
  const { rows } = await sql<{ ms: number }>`
    select setting::integer as ms from pg_settings where name = 'statement_timeout'`.execute(db)
  return rows[0]?.ms ?? 0
}

/**
 * The key that signs cursors, created by a migration and shared by all instances on a database. It protects no data: a
 * cursor only says where to continue in a list that its reader may read.
 */
export async function readCursorKey(db: Db): Promise<Buffer> {
  const { cursorKey } = await db.selectFrom('installation').select('cursorKey').executeTakeFirstOrThrow()
  return cursorKey
}
