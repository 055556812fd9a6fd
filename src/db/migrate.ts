import { setTimeout as delay } from 'node:timers/promises'
import { sql } from 'kysely'
import { Migrator } from 'kysely/migration'
import * as foundation from '../../migrations/0001-foundation.ts'
import * as announceChanges from '../../migrations/0002-announce-changes.ts'
import * as policy from '../../migrations/0003-policy.ts'
import * as lists from '../../migrations/0004-lists.ts'
import * as signingKeys from '../../migrations/0005-signing-keys.ts'
import * as clientKeys from '../../migrations/0006-client-keys.ts'
import * as trustedIssuers from '../../migrations/0007-trusted-issuers.ts'
import * as narrowing from '../../migrations/0008-narrowing.ts'
import * as revocations from '../../migrations/0009-revocations.ts'
import * as statusLists from '../../migrations/0010-status-lists.ts'
import * as revocationNumbers from '../../migrations/0011-revocation-numbers.ts'
import * as uses from '../../migrations/0012-uses.ts'
import * as useCounts from '../../migrations/0013-use-counts.ts'
import * as staticSecret from '../../migrations/0014-static-secret.ts'
import * as revocationDurability from '../../migrations/0015-revocation-durability.ts'
import * as organizationDeletion from '../../migrations/0016-organization-deletion.ts'
import * as owners from '../../migrations/0017-owners.ts'
import * as ownerSuspension from '../../migrations/0018-owner-suspension.ts'
import * as longNames from '../../migrations/0019-long-names.ts'
import * as rotation from '../../migrations/0020-rotation.ts'
import * as organizationKeys from '../../migrations/0021-organization-keys.ts'
import * as organizationTokenTypes from '../../migrations/0022-organization-token-types.ts'
import * as attention from '../../migrations/0023-attention.ts'
import * as ownerLists from '../../migrations/0024-owner-lists.ts'
import * as scopeDetails from '../../migrations/0025-scope-details.ts'
import * as webhooks from '../../migrations/0026-webhooks.ts'
import * as leaks from '../../migrations/0027-leaks.ts'
import * as rotationDue from '../../migrations/0028-rotation-due.ts'
import * as imports from '../../migrations/0029-imports.ts'
import * as notices from '../../migrations/0030-notices.ts'
import * as directory from '../../migrations/0031-directory.ts'
import * as signals from '../../migrations/0032-signals.ts'
import * as sessions from '../../migrations/0033-sessions.ts'
import * as openid from '../../migrations/0034-openid.ts'
import * as sessionChecks from '../../migrations/0035-session-checks.ts'
import * as announceByStatement from '../../migrations/0036-announce-by-statement.ts'
import * as listIndexes from '../../migrations/0037-list-indexes.ts'
import * as activeCounts from '../../migrations/0038-active-counts.ts'
import * as servedSince from '../../migrations/0039-served-since.ts'
import * as transparencyLog from '../../migrations/0040-transparency-log.ts'
import { ConfigError } from '../shared/config-files.ts'
import type { Db } from './database.ts'
import { makeIndexes, pendingIndexes } from './indexes.ts'

export const migrations = {
  '0001-foundation': foundation,
  '0002-announce-changes': announceChanges,
  '0003-policy': policy,
  '0004-lists': lists,
  '0005-signing-keys': signingKeys,
  '0006-client-keys': clientKeys,
  '0007-trusted-issuers': trustedIssuers,
  '0008-narrowing': narrowing,
  '0009-revocations': revocations,
  '0010-status-lists': statusLists,
  '0011-revocation-numbers': revocationNumbers,
  '0012-uses': uses,
  '0013-use-counts': useCounts,
  '0014-static-secret': staticSecret,
  '0015-revocation-durability': revocationDurability,
  '0016-organization-deletion': organizationDeletion,
  '0017-owners': owners,
  '0018-owner-suspension': ownerSuspension,
  '0019-long-names': longNames,
  '0020-rotation': rotation,
  '0021-organization-keys': organizationKeys,
  '0022-organization-token-types': organizationTokenTypes,
  '0023-attention': attention,
  '0024-owner-lists': ownerLists,
  '0025-scope-details': scopeDetails,
  '0026-webhooks': webhooks,
  '0027-leaks': leaks,
  '0028-rotation-due': rotationDue,
  '0029-imports': imports,
  '0030-notices': notices,
  '0031-directory': directory,
  '0032-signals': signals,
  '0033-sessions': sessions,
  '0034-openid': openid,
  '0035-session-checks': sessionChecks,
  '0036-announce-by-statement': announceByStatement,
  '0037-list-indexes': listIndexes,
  '0038-active-counts': activeCounts,
  '0039-served-since': servedSince,
  '0040-transparency-log': transparencyLog,
}

/** Keeps other instances from setting up this database until the end of the transaction. */
export async function lockSetup(tx: Db): Promise<void> {
  // Any constant will do, as long as every version of Counterfoil uses the same one.
  await sql`select pg_advisory_xact_lock(7662)`.execute(tx)
}

/** The statements that make or drop indexes on tables that can be large, which migrations declare instead of running. */
export const indexes = Object.values(migrations).flatMap((migration) =>
  'indexes' in migration ? migration.indexes : [],
)

/** While a statement waits for a table lock, every other statement on the table queues behind it. */
const lockWait = { ms: 5_000, pauseMs: 2_000, attempts: 10 }

/**
 * Brings the database to this code's version and returns the migrations and statements for indexes that it ran. Each
 * migration is a transaction under an advisory lock, so any number of instances may call this at once, and no table
 * stays locked while a later migration runs. If a table stays locked by another transaction, the migration is rolled
 * back, so that the statements queued behind it can continue, and repeated. Indexes come last, and are created while
 * other transactions write to their tables.
 */
export async function migrate(db: Db, wait = lockWait): Promise<string[]> {
  const applied: string[] = []
  for (;;) {
    const names = await untilUnlocked(() => migrateNext(db, wait.ms), wait)
    if (names.length === 0) return [...applied, ...(await makeIndexes(db, indexes))]
    applied.push(...names)
  }
}

async function untilUnlocked<T>(work: () => Promise<T>, wait: typeof lockWait): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await work()
    } catch (error) {
      if ((error as { code?: string }).code !== lockNotAvailable || attempt === wait.attempts) throw error
      await delay(wait.pauseMs)
    }
  }
}

/** SQLSTATE lock_not_available: lock_timeout has passed. */
const lockNotAvailable = '55P03'

/** Runs the next migration. An empty database is set up in one transaction, with its indexes. */
async function migrateNext(db: Db, lockMs: number): Promise<string[]> {
  return db.transaction().execute(async (tx) => {
    await lockSetup(tx)
    await sql`select set_config('lock_timeout', ${`${lockMs}ms`}, true)`.execute(tx)
    await rejectUnfit(tx)
    const pending = await pendingMigrations(tx)
    if (pending.length === 0) return []
    await rejectWithoutSchema(tx)
    const isEmpty = pending.length === Object.keys(migrations).length
    const { error, results } = isEmpty ? await migrator(tx).migrateToLatest() : await migrator(tx).migrateUp()
    if (isDuplicate(error))
      throw new ConfigError(
        `The schema contains objects of another application (${error.message}); nothing was changed: ` +
          'give Counterfoil a database or a schema of its own.',
      )
    if (error) throw error
    if (isEmpty)
      for (const statement of await pendingIndexes(tx, indexes)) await sql.raw(statement).execute(tx)
    return results?.map((result) => result.migrationName) ?? []
  })
}

/** Names of the migrations that the database lacks. */
export async function pendingMigrations(db: Db): Promise<string[]> {
  const all = await migrator(db).getMigrations()
  return all.filter((migration) => !migration.executedAt).map((migration) => migration.name)
}

/** Checked only at startup: an instance already running keeps working while a newer version replaces it. */
export async function rejectUnfit(db: Db): Promise<void> {
  const { rows } = await sql<{ encoding: string; migrated: boolean; readable: boolean; role: string }>`
    select current_setting('server_encoding') as encoding, to_regclass('kysely_migration') is not null as migrated,
      has_table_privilege(to_regclass('kysely_migration'), 'select') as readable, current_user as role
  `.execute(db)
  const { encoding, migrated, readable, role } = rows[0] ?? {}
  if (encoding !== 'UTF8')
    throw new ConfigError(
      `The encoding of the database is ${encoding} but must be UTF8: create another one with ` +
        "create database … encoding 'UTF8' template template0.",
    )
  if (!migrated) return
  if (!readable)
    throw new ConfigError(
      `The table kysely_migration belongs to another role, and ${role} may not read it: give Counterfoil a database or a ` +
        'schema of its own; if Counterfoil made the table, connect as the role that owns it.',
    )
  // Another application's table may have other columns.
  const applied = await sql<{ name: string }>`
    select coalesce(to_jsonb(kysely_migration) ->> 'name', '') as name from kysely_migration`.execute(db)
  const names = applied.rows.map((row) => row.name)
  const unknown = names.filter((name) => !(name in migrations))
  if (unknown.length === 0) return
  if (!names.includes('0001-foundation'))
    throw new ConfigError(
      'The table kysely_migration belongs to another application: give Counterfoil a database or a schema of its own.',
    )
  if (await isServed(db)) return
  throw new ConfigError(
    `The database is newer than this version of Counterfoil (it has ${unknown.join(', ')}): run the newer version.`,
  )
}

/** Whether the newer release that has migrated the database left it so that this one can serve from it. */
async function isServed(db: Db): Promise<boolean> {
  // Before that migration there was no such column.
  const { rows } = await sql<{ since: string | null }>`
    select to_jsonb(installation) ->> 'served_since' as since from installation`.execute(db)
  return (rows[0]?.since ?? '') in migrations
}

/** If PostgreSQL reported this inside the transaction, "transaction is aborted" would hide the reason. */
async function rejectWithoutSchema(db: Db): Promise<void> {
  const { rows } = await sql<{ role: string; schema: string | null; creates: boolean | null }>`
    select current_user as role, current_schema() as schema, has_schema_privilege(current_schema(), 'create') as creates
  `.execute(db)
  const { role, schema = null, creates } = rows[0] ?? {}
  if (creates) return
  throw new ConfigError(
    schema === null
      ? `The role ${role} may use no schema of its search_path: create one, and grant usage, create on schema … to ${role}.`
      : `The role ${role} may not create tables in the schema ${schema}: grant create on schema ${schema} to ${role}.`,
  )
}

/** SQLSTATEs for a name that is taken by a table or index, a type or trigger, or a function. */
function isDuplicate(error: unknown): error is Error {
  return error instanceof Error && 'code' in error && /^(42P07|42710|42723)$/.test(String(error.code))
}

function migrator(db: Db): Migrator {
  // Migrations are plain SQL, so names must not be converted by plugins.
  return new Migrator({ db: db.withoutPlugins(), provider: { getMigrations: async () => migrations } })
}
