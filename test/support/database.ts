import { randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import pg from 'pg'
import type { Test } from 'tap'
import { createDb, type Db } from '../../src/db/database.ts'
import { testServer } from '../runner/test-server.ts'
import { databaseUrl, prefix } from './postgres-server.ts'

/** A migrated database for the test. It remains until the end of the run. */
export async function cloneDatabase(): Promise<string> {
  return createDatabase((await testServer()).template)
}

/** An empty database. */
export async function createEmptyDatabase(): Promise<string> {
  return createDatabase('template0')
}

async function createDatabase(original: string): Promise<string> {
  const { url, template } = await testServer()
  const name = `${template}_${randomBytes(6).toString('hex')}`
  const admin = new pg.Client({ connectionString: url })
  await admin.connect()
  // PostgreSQL refuses to clone a template that is being cloned concurrently.
  await admin.query('select pg_advisory_lock(1)')
  // Copying files costs half as much as logging each page of them.
  await admin.query(`create database ${name} template ${original} strategy file_copy`)
  await admin.end()
  return databaseUrl(url, name)
}

/** A database for the test, or another test's. */
export async function openDatabase(
  t: Test,
  { url: given, prepares = true }: { url?: string | undefined; prepares?: boolean } = {},
): Promise<{ db: Db; url: string }> {
  const url = given ?? (await cloneDatabase())
  const db = createDb({ url, poolSize: 10, prepares })
  t.teardown(() => db.destroy())
  return { db, url }
}

/** For statements that take longer than the service would wait. */
export async function execute(url: string, statements: string): Promise<void> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  await client.query(statements).finally(() => client.end())
}

/**
 * Executes statements that insert many rows into these tables: without triggers, which run once for each row, and with
 * the indexes built afterwards, from all rows at once.
 */
export async function fill(url: string, tables: string[], statements: string): Promise<void> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  const { rows } = await client.query(
    `select indexrelid::regclass as name, pg_get_indexdef(indexrelid) as definition from pg_index
       where indrelid = any ($1::regclass[]) and not indisprimary`,
    [tables],
  )
  const triggers = (what: string) => tables.map((table) => `alter table ${table} ${what} trigger user`)
  const all = [
    ...rows.map(({ name }) => `drop index ${name}`),
    ...triggers('disable'),
    statements,
    ...triggers('enable'),
    ...rows.map(({ definition }) => definition),
    'analyze',
  ]
  await client.query(all.join(';')).finally(() => client.end())
}

/** A migrated database, and a role with exactly the privileges that docs/operating.md gives to the service. */
export async function createDatabaseWithServiceRole() {
  const owner = await cloneDatabase()
  const role = `${prefix}${randomBytes(6).toString('hex')}`
  const password = randomBytes(12).toString('hex')
  const docs = await readFile(new URL('../../docs/operating.md', import.meta.url), 'utf8')
  const documented = /^```sql\n(grant usage on schema .*?)^```$/ms.exec(docs)?.[1]
  if (!documented) throw new Error('docs/operating.md has no block of SQL with the privileges of the service')
  await execute(owner, `create role ${role} login password '${password}'`)
  await execute(owner, documented.replaceAll(/\bcounterfoil\b/g, role))
  const service = new URL(owner)
  Object.assign(service, { username: role, password })
  return { owner, role, service: service.href }
}
