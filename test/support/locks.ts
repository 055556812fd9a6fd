import pg from 'pg'
import type { Test } from 'tap'
import { until } from './until.ts'
import type { World } from './world.ts'

/** A transaction that keeps its locks until it ends. */
export async function hold(t: Test, { databaseUrl }: World, statement: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: databaseUrl })
  await client.connect()
  t.teardown(() => client.end())
  await client.query(`begin; ${statement}`)
  return client
}

/** Resolves when a statement that is like this pattern waits for a lock. */
export async function waitsForLock({ sql }: World, query: string): Promise<void> {
  const waiting =
    "select from pg_stat_activity where wait_event_type = 'Lock' and query like $1 and pid <> pg_backend_pid()"
  await until(async () => (await sql(waiting, [query])).rowCount)
}
