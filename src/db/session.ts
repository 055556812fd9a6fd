import { sql } from 'kysely'
import type { Db } from './database.ts'

/**
 * What our statements and the parsing of their results rely on. A database or a role can have other defaults, so every
 * connection asks for these when it opens. PgBouncer passes these three on in every mode; written as PostgreSQL reports
 * them, so that it finds nothing to set again.
 */
const everywhere = { DateStyle: 'ISO, MDY', TimeZone: 'UTC', standard_conforming_strings: 'on' }

/** The rest: a pooler in transaction mode would refuse them, or set them for someone else. */
const ownSession = {
  default_transaction_isolation: 'read committed',
  array_nulls: 'on',
  bytea_output: 'hex',
  // Instants are read as numbers: with fewer digits a token would expire at another time.
  extra_float_digits: '1',
  IntervalStyle: 'postgres',
  transform_null_equals: 'off',
  exit_on_error: 'off',
}

/** PostgreSQL's own default. Another one goes into DATABASE_URL: `?options=-c search_path=…`. */
const searchPath = '"$user", public'

/** Shows whether the startup packet reached the session that a statement runs in. */
const marker = 'counterfoil.own_session'

/** `options` of a startup packet; those of DATABASE_URL come last, and so take precedence. */
const options = Object.entries({ ...ownSession, search_path: searchPath, [marker]: 'on' })
  .map(([name, value]) => `-c ${name}=${value.replaceAll(' ', '\\ ')}`)
  .join(' ')

/** The members of the startup packet (PostgreSQL's protocol, "StartupMessage") that say what a session is to be like. */
export function startupParameters(pooled: boolean, given: string | undefined): Record<string, string> {
  if (!pooled) return { ...everywhere, options: [options, given].filter(Boolean).join(' ') }
  return given === undefined ? everywhere : { ...everywhere, options: given }
}

/** Why sessions are not as they have to be, in a sentence, or undefined. */
export async function sessionProblem(db: Db, pooled: boolean): Promise<string | undefined> {
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

/** PgBouncer takes no `options`, unless it is told to ignore them. */
export function refusedByPooler(error: unknown): boolean {
  return error instanceof Error && /unsupported startup parameter/.test(error.message)
}
