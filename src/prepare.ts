import { adminTokenIn } from './admin-token.ts'
import { bootstrap } from './bootstrap.ts'
import { type Config, ConfigError } from './config.ts'
import { createDb, type Db } from './db/database.ts'
import { startEmbedded } from './db/embedded.ts'
import { migrate, pendingMigrations } from './db/migrate.ts'

export type Database = {
  db: Db
  url: string
  /** The server that comes with Counterfoil, and ends with it. */
  embedded: boolean
  close(): Promise<void>
}

/** The configured database, or the embedded one, which is started. */
export async function openDatabase(
  { databaseUrl, dataDir, poolSize }: Config,
  onError: (error: Error) => void,
): Promise<Database> {
  const server = databaseUrl === undefined ? await startEmbedded(dataDir) : undefined
  const url = server?.url ?? databaseUrl ?? ''
  const db = createDb({ url, poolSize, onError })
  return {
    db,
    url,
    embedded: server !== undefined,
    async close() {
      await db.destroy()
      await server?.stop()
    },
  }
}

/** Brings the database to where it can be served from. */
export async function prepare({ db, embedded }: Database, config: Config): Promise<void> {
  if (config.migrate) await migrate(db)
  const pending = await pendingMigrations(db)
  if (pending.length > 0)
    throw new ConfigError(`MIGRATE is false and the database lacks ${pending.join(', ')}.`)
  const adminToken = config.adminToken ?? (embedded ? await adminTokenIn(config.dataDir) : undefined)
  await bootstrap(db, new Date(), adminToken, { withExamples: embedded })
}
