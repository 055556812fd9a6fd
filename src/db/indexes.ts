import { setTimeout as delay } from 'node:timers/promises'
import { sql } from 'kysely'
import type { Db } from './database.ts'

const pauseMs = 1_000

/** Of the declared statements, each of which makes or drops an index, those that the database lacks. */
export async function pendingIndexes(db: Db, declared: string[]): Promise<string[]> {
  // An index may be dropped by a later migration than the one that made it.
  const wanted = new Map(declared.map((statement) => [nameIn(statement), statement]))
  const { rows } = await sql<{ name: string; isValid: boolean }>`
    select relname as name, indisvalid as "isValid" from pg_index join pg_class on pg_class.oid = indexrelid
    where relname = any(${[...wanted.keys()]}) and relnamespace = current_schema()::regnamespace`.execute(db)
  const found = new Map(rows.map(({ name, isValid }) => [name, isValid]))
  return [...wanted].flatMap(([name, statement]) => {
    if (statement.startsWith('drop')) return found.has(name) ? [statement] : []
    if (found.get(name)) return []
    // The remains of an interrupted build, which slow down writes and are never read.
    return found.has(name) ? [`drop index ${name}`, statement] : [statement]
  })
}

function nameIn(statement: string): string {
  const name = /^(?:create (?:unique )?|drop )index (\w+)/.exec(statement)?.[1]
  if (name === undefined) throw new Error(`not a statement that makes or drops an index: ${statement}`)
  return name
}

/** The statement in the form that does not block writes to the table. */
export function concurrently(statement: string): string {
  return statement.replace(' index ', ' index concurrently ')
}

/**
 * Creates the pending indexes and returns the statements. Such a statement cannot run in a transaction, so a
 * transaction on another connection holds the lock that excludes other instances; a session-level lock would not work
 * behind a pooler. They poll for the lock, since PostgreSQL would wait for a statement that waits for it.
 */
export async function makeIndexes(db: Db, declared: string[]): Promise<string[]> {
  while ((await pendingIndexes(db, declared)).length > 0) {
    const made = await db.transaction().execute(async (tx) => {
      const { rows } = await sql<{ locked: boolean }>`
        select pg_try_advisory_xact_lock(7662, 10) as locked`.execute(tx)
      if (!rows[0]?.locked) return undefined
      // Not in the transaction: PostgreSQL waits for transactions with a snapshot, which a statement with parameters
      // keeps.
      const statements = (await pendingIndexes(db, declared)).map(concurrently)
      for (const statement of statements) await sql.raw(statement).execute(db)
      return statements
    })
    if (made) return made
    await delay(pauseMs)
  }
  return []
}
