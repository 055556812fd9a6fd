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
  /** False behind a pooler that gives each transaction another connection. */
  prepares?: boolean
  /** Timeout of a statement in milliseconds, enforced here and by PostgreSQL. */
  queryMs?: number
  onError?: (error: Error) => void
}

/** The statement timeout while serving requests. */
export const usualQueryMs = 10_000

/**
 * For operations that an operator waits for: migrating a large table, or waiting for other instances that are
 * migrating.
 */
export const maintenanceMs = 60 * 60 * 1000

export function createDb({ queryMs = usualQueryMs, ...options }: DatabaseOptions): Db {
  const pool = createPool({ ...options, connectMs: 3_000, queryMs })
  const db = new Kysely<Tables>({ dialect: new Dialect({ pool }), plugins: [camelCase] })
  pools.set(db, pool)
  return db
}

const pools = new WeakMap<Db, pg.Pool>()

/** How many statements and transactions wait for a connection of the pool. */
export function waitingForConnection(db: Db): number {
  return pools.get(db)?.waitingCount ?? 0
}

/** Bare connections, for the few statements that do not go through Kysely. */
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
  // Without this listener a lost connection would end the process: the pool itself handles only errors of idle
  // connections.
  pool.on('connect', (client) => client.on('error', (error) => onError?.(error)))
  pool.on('error', () => {})
  return pool
}

export const camelCase = new CamelCasePlugin({ maintainNestedObjectKeys: true })

/** True for errors that mean the database is unavailable right now, as opposed to a genuine response. */
export function isUnavailable(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  if (error instanceof ConnectionRefusedError) return true
  const code = 'code' in error ? String(error.code) : ''
  return unavailableCodes.test(code) || unavailableMessages.test(error.message)
}

// SQLSTATE classes 08 (connection), 53 (resources), 57 (operator intervention) and 58 (system); timeouts of sessions
// and statements (25P03, 25P04, 55P03), conflicts with other transactions (40001, 40003, 40P01) and writes on a standby
// (25006); statements that a pooler's session has not prepared or has prepared already (26000, 42P05); and system and
// TLS errors.
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
 * After waiting for a lock, a transaction must see what was committed in the meantime. Sessions behind a pooler may
 * have another default isolation level, so every transaction sets it.
 */
class ReadCommittedDriver extends PostgresDriver {
  override beginTransaction(connection: DatabaseConnection, settings: TransactionSettings): Promise<void> {
    return super.beginTransaction(connection, { isolationLevel: 'read committed', ...settings })
  }
}

/**
 * Kysely would guard migrations with a session-level lock, which pgbouncer in transaction mode can leave held on a
 * connection that outlives this process. `migrate` takes a transaction-level lock instead.
 */
class Adapter extends PostgresAdapter {
  override async acquireMigrationLock(): Promise<void> {}
  override async releaseMigrationLock(): Promise<void> {}
}
