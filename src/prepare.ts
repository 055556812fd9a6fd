import { adminTokenIn } from './admin-token.ts'
import { bootstrap } from './bootstrap.ts'
import type { Config } from './config.ts'
import { type Db, usualQueryMs } from './db/database.ts'
import { hasSynchronousStandbys, setDurability, statementLimitMs } from './db/installation.ts'
import { migrate, pendingMigrations, rejectUnfit } from './db/migrate.ts'
import { grantMissing, missingGrants } from './db/privileges.ts'
import { sessionProblem } from './db/session.ts'
import { prepareKeys } from './keys/maintenance.ts'
import type { Signing } from './keys/signing.ts'
import { asOwner, type Database } from './open-database.ts'
import { ConfigError } from './shared/config-files.ts'

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

/** Problems that would only appear once the database is under load. */
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
