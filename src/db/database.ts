import {
  CamelCasePlugin,
  type DatabaseConnection,
  type Driver,
  Kysely,
  PostgresAdapter,
  PostgresDialect,
  type PostgresDialectConfig,
  PostgresDriver,
  type TransactionSettings,
} from 'kysely'
import pg from 'pg'
import { ConnectionRefusedError, clientWith } from './client.ts'
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
  if (error instanceof ConnectionRefusedError) return true
  const code = 'code' in error ? String(error.code) : ''
  return unavailableCodes.test(code) || unavailableMessages.test(error.message)
}

// SQLSTATE classes 08 (connection), 53 (resources), 57 (operator intervention) and 58 (system); what ends a session or a
// statement that ran into a time limit (25P03, 25P04, 55P03), into another transaction (40001, 40003, 40P01) or into a
// standby (25006); statements that a session should have prepared and has not, or the other way round, which is what a
// pooler brings about (26000, 42P05); and the errors of the system and of TLS.
const unavailableCodes =
  /^(08...|53...|57...|58...|25006|25P0[34]|26000|40001|40003|40P01|42P05|55P03|ECONN\w+|EPIPE|EPROTO|ENOENT|EAI_\w+|EHOSTUNREACH|ENETUNREACH|ENOTFOUND|ETIMEDOUT|ERR_SSL_\w+)$/
const unavailableMessages =
  /^(Connection terminated|Client was closed|timeout expired|timeout exceeded when trying to connect|Query read timeout|Client has encountered a connection error)/

class Dialect extends PostgresDialect {
  readonly #config: PostgresDialectConfig

  constructor(config: PostgresDialectConfig) {
    super(config)
    this.#config = config
  }

  override createDriver(): Driver {
    return new ReadCommittedDriver(this.#config)
  }

  override createAdapter(): PostgresAdapter {
    return new Adapter()
  }
}

/**
 * After a lock, a transaction has to see what was committed while it waited. Behind a pooler sessions may have another
 * default, so every transaction says so itself.
 */
class ReadCommittedDriver extends PostgresDriver {
  override beginTransaction(connection: DatabaseConnection, settings: TransactionSettings): Promise<void> {
    return super.beginTransaction(connection, { isolationLevel: 'read committed', ...settings })
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
