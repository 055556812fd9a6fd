import { adminTokenIn } from './admin-token.ts'
import { bootstrap } from './bootstrap.ts'
import type { Config } from './config.ts'
import { ConfigError } from './config-files.ts'
import { createDb, type Db } from './db/database.ts'
import { startEmbedded } from './db/embedded.ts'
import { migrate, pendingMigrations } from './db/migrate.ts'
import { prepareKeys } from './keys/care.ts'
import { masterKeyIn } from './keys/master-key.ts'
import type { Signing } from './keys/signing.ts'

export type Database = {
  db: Db
  url: string
  /** The server that comes with Counterfoil, and ends with it. */
  embedded: boolean
  close(): Promise<void>
}

/** The configured database, or the embedded one, which is started. */
export async function openDatabase(
  { databaseUrl, listenUrl, dataDir, poolSize }: Config,
  onError: (error: Error) => void,
): Promise<Database> {
  const server = databaseUrl === undefined ? await startEmbedded(dataDir) : undefined
  const url = server?.url ?? databaseUrl ?? ''
  const db = createDb({ url, poolSize, prepares: listenUrl === undefined, onError })
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
export async function prepare({ db, embedded }: Database, config: Config, signing: Signing): Promise<void> {
  if (config.migrate) await migrate(db)
  const pending = await pendingMigrations(db)
  if (pending.length > 0)
    throw new ConfigError(`MIGRATE is false and the database lacks ${pending.join(', ')}.`)
  const adminToken = config.adminToken ?? (embedded ? await adminTokenIn(config.dataDir) : undefined)
  const withExamples = config.bootstrapExamples ?? embedded
  await bootstrap(db, new Date(), adminToken, { withExamples })
  await prepareKeys(db, signing, new Date())
}

export async function signingOf(database: Database, config: Config): Promise<Signing> {
  const { masterKeys, signingAlg: alg, dataDir } = config
  return { masterKeys: bringsMasterKey(database, config) ? [await masterKeyIn(dataDir)] : masterKeys, alg }
}

/** The embedded database brings a master key of its own, as it brings an administrator, unless another is given. */
export function bringsMasterKey({ embedded }: Database, { masterKeys }: Config): boolean {
  return embedded && masterKeys.length === 0
}
