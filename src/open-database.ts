import type { Config } from './config.ts'
import { createDb, type Db, maintenanceMs } from './db/database.ts'
import type { EmbeddedServer } from './embedded-postgres/installation.ts'
import { masterKeyIn } from './keys/master-key.ts'
import type { Signing } from './keys/signing.ts'

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
  const server = databaseUrl === undefined ? await startServer(dataDir, shutdown) : undefined
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

async function startServer(dataDir: string, shutdown: AbortSignal): Promise<EmbeddedServer> {
  const { startEmbedded } = await import('./embedded-postgres/installation.ts')
  return startEmbedded(dataDir, [], shutdown)
}

/**
 * Uses separate connections, as the role that migrates, on which statements may take as long as large tables need. Making
 * indexes takes two.
 */
export async function asOwner<T>(
  { ownerUrl: url, prepares }: Database,
  work: (db: Db) => Promise<T>,
): Promise<T> {
  const db = createDb({ url, poolSize: 2, prepares, queryMs: maintenanceMs })
  try {
    return await work(db)
  } finally {
    await db.destroy()
  }
}

export async function signingOf(database: Database, config: Config): Promise<Signing> {
  const { masterKeys, signingAlg: alg, dataDir } = config
  return { masterKeys: bringsMasterKey(database, config) ? [await masterKeyIn(dataDir)] : masterKeys, alg }
}

/** The embedded database has its own master key, as it has its own administrator, unless one is configured. */
export function bringsMasterKey({ embedded }: Database, { masterKeys }: Config): boolean {
  return embedded && masterKeys.length === 0
}
