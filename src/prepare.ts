import { adminTokenIn } from './admin-token.ts'
import { bootstrap } from './bootstrap.ts'
import type { Config } from './config.ts'
import { createDb, type Db, maintenanceMs, usualQueryMs } from './db/database.ts'
import { hasSynchronousStandbys, setDurability, statementLimitMs } from './db/installation.ts'
import { migrate, pendingMigrations, rejectUnfit } from './db/migrate.ts'
import { grantMissing, missingGrants } from './db/privileges.ts'
import { sessionProblem } from './db/session.ts'
import { startEmbedded } from './embedded-postgres/installation.ts'
import { prepareKeys } from './keys/maintenance.ts'
import { masterKeyIn } from './keys/master-key.ts'
import type { Signing } from './keys/signing.ts'
import { ConfigError } from './shared/config-files.ts'

export type Database = {
  db: Db
  /** For the role that serves. */
  url: string
  /** For the role that migrates: in the embedded database the owner of the tables, elsewhere the same role. */
  ownerUrl: string
  prepares: boolean
  /** The database is the embedded server, which is stopped with Counterfoil. */
  embedded: boolean
  /** Restarts the embedded server whenever it ends; rejects if that fails. */
  superviseServer(onRestart: () => void): Promise<void>
  /** Stops the embedded server, which aborts what its connections are doing. */
  stopServer(): Promise<void>
  close(): Promise<void>
}

/** The configured database, or the embedded one, which is started. */
export async function openDatabase(
  { databaseUrl, listenUrl, dataDir, poolSize }: Config,
  onError: (error: Error) => void,
  shutdown: AbortSignal,
): Promise<Database> {
  const server = databaseUrl === undefined ? await startEmbedded(dataDir, [], shutdown) : undefined
  const url = server?.serviceUrl ?? databaseUrl ?? ''
  const prepares = listenUrl === undefined
  const db = createDb({ url, poolSize, prepares, onError })
  const stopServer = async () => server?.stop()
  return {
    db,
    url,
    ownerUrl: server?.url ?? url,
    prepares,
    embedded: server !== undefined,
    superviseServer: async (onRestart) => server?.supervise(onRestart),
    stopServer,
    async close() {
      await db.destroy()
      await stopServer()
    },
  }
}

/** Uses a separate connection, as the role that migrates, on which statements may take as long as large tables need. */
export async function asOwner<T>(
  { ownerUrl: url, prepares }: Database,
  work: (db: Db) => Promise<T>,
): Promise<T> {
  const db = createDb({ url, poolSize: 1, prepares, queryMs: maintenanceMs })
  try {
    return await work(db)
  } finally {
    await db.destroy()
  }
}

/** Migrates, checks and sets up the database until it is ready to serve from. */
export async function prepare(database: Database, config: Config, signing: Signing): Promise<void> {
  const { db, embedded, prepares } = database
  const problem = await sessionProblem(db, !prepares)
  if (problem) throw new ConfigError(problem)
  // Tables that are created from here on belong to the current role.
  if (!embedded) await rejectMissingGrants(db)
  await asOwner(database, async (owner) => {
    if (config.migrate) await migrate(owner)
    else await rejectUnfit(owner)
    const pending = await pendingMigrations(owner)
    if (pending.length > 0)
      throw new ConfigError(`MIGRATE is false and the database lacks ${pending.join(', ')}.`)
    if (embedded) await grantMissing(owner, db)
  })
  await setDurability(db, config.revocationDurability)
  const adminToken = config.adminToken ?? (embedded ? await adminTokenIn(config.dataDir) : undefined)
  const withExamples = config.bootstrapExamples ?? embedded
  await bootstrap(db, new Date(), adminToken, { withExamples })
  await prepareKeys(db, signing, new Date())
}

async function rejectMissingGrants(db: Db): Promise<void> {
  const grants = await missingGrants(db)
  if (grants.length > 0)
    throw new ConfigError(
      `The role of DATABASE_URL lacks privileges; as the owner of the tables, run: ${grants.join('; ')};`,
    )
}

/** What would not show before the database is under load. */
export async function databaseWarnings(
  { db, prepares }: Pick<Database, 'db' | 'prepares'>,
  config: Config,
): Promise<string[]> {
  const warnings: string[] = []
  if (config.revocationDurability === 'remote' && !(await hasSynchronousStandbys(db)))
    warnings.push(
      'REVOCATION_DURABILITY is remote, but synchronous_standby_names of the database is empty: revocations are ' +
        'acknowledged before a standby has them, and a failover may undo them.',
    )
  const limit = prepares ? undefined : await statementLimitMs(db)
  if (limit !== undefined && (limit === 0 || limit > usualQueryMs))
    warnings.push(
      'Behind a pooler Counterfoil cannot set a time limit for statements: set one for its role with ' +
        "alter role <role> set statement_timeout = '9s', or abandoned statements keep running in PostgreSQL.",
    )
  return warnings
}

export async function signingOf(database: Database, config: Config): Promise<Signing> {
  const { masterKeys, signingAlg: alg, dataDir } = config
  return { masterKeys: bringsMasterKey(database, config) ? [await masterKeyIn(dataDir)] : masterKeys, alg }
}

/** The embedded database has its own master key, as it has its own administrator, unless one is configured. */
export function bringsMasterKey({ embedded }: Database, { masterKeys }: Config): boolean {
  return embedded && masterKeys.length === 0
}
