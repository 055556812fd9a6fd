import { CamelCasePlugin, Kysely, PostgresAdapter, PostgresDialect } from 'kysely'
import pg from 'pg'
import { clientWith } from './client.ts'
import type { Tables } from './tables.ts'

/** A pool or a transaction; store functions take either. */
export type Db = Kysely<Tables>

export type DatabaseOptions = {
  url: string
  poolSize: number
  /** False behind a pooler that hands each transaction to another connection. */
  prepares?: boolean
  /** After how many milliseconds a statement is given up, here and by PostgreSQL. */
  queryMs?: number
  onError?: (error: Error) => void
}

/** Requests wait no longer than this for a statement. */
export const usualQueryMs = 10_000

/** For what an operator waits for: a migration of a large table, or of many instances one after the other. */
export const maintenanceMs = 60 * 60 * 1000

export function createDb({ queryMs = usualQueryMs, ...options }: DatabaseOptions): Db {
  const pool = createPool({ ...options, connectMs: 3_000, queryMs })
  return new Kysely<Tables>({ dialect: new Dialect({ pool }), plugins: [camelCase] })
}

/** Bare connections, for the few statements that go another way than through Kysely. */
export function createPool({
  url,
  poolSize,
  prepares = true,
  onError,
  connectMs,
  queryMs,
}: DatabaseOptions & { connectMs: number; queryMs: number }): pg.Pool {
  const pool = new pg.Pool({
    connectionString: url,
    max: poolSize,
    connectionTimeoutMillis: connectMs,
    Client: clientWith({ queryMs, prepares }),
    keepAlive: true,
    application_name: 'counterfoil',
  })
  // Without these listeners a connection that is lost would end the process: the pool listens to idle ones only.
  pool.on('connect', (client) => client.on('error', (error) => onError?.(error)))
  pool.on('error', () => {})
  return pool
}

export const camelCase = new CamelCasePlugin({ maintainNestedObjectKeys: true })

/** True for errors that say the database cannot be asked right now, as opposed to what it answered. */
export function isUnavailable(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  const code = 'code' in error ? String(error.code) : ''
  return unavailableCodes.test(code) || unavailableMessages.test(error.message)
}

// SQLSTATE classes 08 (connection), 53 (resources), 57 (operator intervention, also by a time limit), 55P03 (a lock is
// not free in time), and the system's own.
const unavailableCodes = /^(08...|53...|57...|55P03|25006|ECONN\w+|EPIPE|ENOENT|EAI_\w+|ENOTFOUND|ETIMEDOUT)$/
const unavailableMessages =
  /^(Connection terminated|Client was closed|timeout expired|timeout exceeded when trying to connect|Query read timeout|Client has encountered a connection error)/

class Dialect extends PostgresDialect {
  override createAdapter(): PostgresAdapter {
    return new Adapter()
  }
}

/**
 * Kysely would guard migrations with a session-level lock, which pgbouncer in transaction mode can leave held by
 * a connection that outlives us. `migrate` takes a transaction-level one instead.
 */
class Adapter extends PostgresAdapter {
  override async acquireMigrationLock(): Promise<void> {}
  override async releaseMigrationLock(): Promise<void> {}
}
