import { type QueryExecutorProvider, sql } from 'kysely'

/**
 * The settings that our statements and result parsing rely on. Databases and roles can have other defaults, so every
 * connection requests these. PgBouncer forwards these three in every mode; they are spelled as PostgreSQL reports them,
 * so that PgBouncer sees no difference to set again.
 */
const everywhere = { DateStyle: 'ISO, MDY', TimeZone: 'UTC', standard_conforming_strings: 'on' }

/** The rest: a pooler in transaction mode would reject these, or set them for another client. */
const ownSession = {
  default_transaction_isolation: 'read committed',
  array_nulls: 'on',
  bytea_output: 'hex',
  // Instants are read as numbers: with fewer digits, expiry times would change.
  extra_float_digits: '1',
  IntervalStyle: 'postgres',
  transform_null_equals: 'off',
  exit_on_error: 'off',
}

/** PostgreSQL's default. To use another, add it to DATABASE_URL: `?options=-c search_path=…`. */
const searchPath = '"$user", public'

/** Shows whether the startup packet reached the session that runs a statement. */
const marker = 'counterfoil.own_session'

/** `options` of the startup packet; those of DATABASE_URL come last and take precedence. */
const options = Object.entries({ ...ownSession, search_path: searchPath, [marker]: 'on' })
  .map(([name, value]) => `-c ${name}=${value.replaceAll(' ', '\\ ')}`)
  .join(' ')

/** The parameters of the startup packet (PostgreSQL's protocol, "StartupMessage") that configure the session. */
export function startupParameters(pooled: boolean, given: string | undefined): Record<string, string> {
  if (!pooled) return { ...everywhere, options: [options, given].filter(Boolean).join(' ') }
  return given === undefined ? everywhere : { ...everywhere, options: given }
}

/** Why the session is not configured as required, in a sentence, or undefined. */
export async function sessionProblem(
  db: QueryExecutorProvider,
  pooled: boolean,
): Promise<string | undefined> {
  const expected: Record<string, string> = { ...everywhere, ...ownSession }
  const { rows } = await sql<{ own: string | null; name: string; setting: string }>`
    select current_setting(${marker}, true) as own, name, setting from pg_settings
    where name = any (${Object.keys(expected)}::text[])`.execute(db)
  if (!pooled && rows[0]?.own !== 'on') return poolerInTheWay
  const wrong = rows.filter(({ name, setting }) => setting !== expected[name])
  if (wrong.length === 0) return undefined
  const settings = wrong.map(({ name }) => `${name} = '${expected[name]}'`)
  return `Behind a pooler Counterfoil cannot choose the settings of its sessions; set for its role: ${settings.join(', ')} (alter role … set …).`
}

export const poolerInTheWay =
  'DATABASE_URL leads through a connection pooler: set DATABASE_LISTEN_URL to the address of the database itself.'

/** PgBouncer rejects `options` unless it is configured to ignore them. */
export function refusedByPooler(error: unknown): boolean {
  return error instanceof Error && /unsupported startup parameter/.test(error.message)
}
