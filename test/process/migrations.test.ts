import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import pg from 'pg'
import t, { type Test } from 'tap'
import { readConfig } from '../../src/config.ts'
import { createDb } from '../../src/db/database.ts'
import { migrate, pendingMigrations } from '../../src/db/migrate.ts'
import { openDatabase, signingOf } from '../../src/open-database.ts'
import { prepare } from '../../src/prepare.ts'
import { failureOf, resultOf } from '../support/command.ts'
import { cloneDatabase, createEmptyDatabase } from '../support/database.ts'
import { freePort, run, said } from '../support/process.ts'
import { createWorld } from '../support/world.ts'

const adminToken = 'an-administrator-token-of-the-migration-tests'

const directory = join(import.meta.dirname, '..', '..', 'migrations')

async function query(url: string, text: string): Promise<any[]> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  const { rows } = await client.query(text)
  await client.end()
  return rows
}

t.test('instances that migrate at the same time run every migration once', async (t) => {
  const url = await createEmptyDatabase()
  const instances = Array.from({ length: 5 }, () => createDb({ url, poolSize: 1 }))
  t.teardown(() => Promise.all(instances.map((db) => db.destroy())))
  const applied = await Promise.all(instances.map((db) => migrate(db)))
  t.equal(applied.filter((names) => names.length > 0).length, 1, 'one instance did it all')
  for (const db of instances) t.same(await pendingMigrations(db), [])
})

t.test('last use is preserved by the migration', async (t) => {
  const url = await createEmptyDatabase()
  const db = createDb({ url, poolSize: 1 }).withoutPlugins()
  t.teardown(() => db.destroy())
  const apply = async (name: string) => (await import(pathToFileURL(join(directory, name)).href)).up(db)
  const names = (await readdir(directory)).sort()
  for (const name of names.filter((name) => name < '0012')) await apply(name)
  await query(
    url,
    `insert into token_types (name, prefix, carries_organization, format, default_scopes, audience, created_at, updated_at)
       values ('api', 'api', false, 'opaque', '{}', '{}', now(), now());
     insert into tokens (organization_id, id, type, name, scopes, audience, metadata, last_used_at, last_used_ip,
         created_at, created_by, updated_at)
       select id, gen_random_uuid(), 'api', coalesce(used, 'unused'), '{}', '{}', '{}', used::timestamptz, ip, now(), '{}', now()
       from organizations, (values ('2026-03-01T12:00:00Z', inet '192.0.2.1'), (null, null)) as uses (used, ip)`,
  )
  await apply('0012-uses.ts')
  t.same(
    await query(url, 'select last_used_at, host(last_used_ip) as ip from token_uses order by last_used_at'),
    [
      { last_used_at: new Date('2026-03-01T12:00:00Z'), ip: '192.0.2.1' },
      { last_used_at: null, ip: null },
    ],
  )
})

/** Does what a start does before it serves. */
async function prepareInstance(t: Test, url: string, ADMIN_TOKEN: string): Promise<void> {
  const config = readConfig({ DATABASE_URL: url, ADMIN_TOKEN })
  const database = await openDatabase(config, () => {}, new AbortController().signal)
  t.teardown(() => database.close())
  await prepare(database, config, await signingOf(database, config))
}

t.test('instances that start at the same time on an empty database create one administrator', async (t) => {
  const url = await createEmptyDatabase()
  await Promise.all([1, 2, 3].map(() => prepareInstance(t, url, adminToken)))
  t.same(await query(url, 'select name from tokens'), [{ name: 'Bootstrap administrator' }])
})

t.test('with MIGRATE=false the service waits for `counterfoil migrate`', async (t) => {
  const url = await createEmptyDatabase()
  const env = { DATABASE_URL: url, ADMIN_TOKEN: adminToken, MIGRATE: 'false', PORT: String(await freePort()) }
  t.match(await failureOf([], env), { code: 78, message: /lacks 0001-foundation/ })
  t.match(await resultOf(['migrate'], env), { code: 0, output: /Applied 0001-foundation/ })
  t.match(await resultOf(['migrate'], env), { code: 0, output: /up to date/ })
  await said(run(t, [], env), 'Server listening')
})

t.test('a release serves from a database that a newer one has migrated and left fit for it', async (t) => {
  const url = await cloneDatabase()
  await query(url, "insert into kysely_migration values ('9999-from-the-future', now()::text)")
  const env = { DATABASE_URL: url, ADMIN_TOKEN: adminToken, PORT: String(await freePort()) }
  await said(run(t, [], env), 'Server listening')
})

t.test('a database that is newer than the code stops the start', async (t) => {
  const url = await cloneDatabase()
  await query(url, "insert into kysely_migration values ('9999-from-the-future', now()::text)")
  await query(url, "update installation set served_since = '9999-from-the-future'")
  for (const MIGRATE of ['true', 'false']) {
    const env = { DATABASE_URL: url, ADMIN_TOKEN: adminToken, MIGRATE }
    t.match(await failureOf([], env), { code: 78, message: /newer.*9999-from-the-future/ })
  }
})

t.test('a deleted administrator is not recreated by a restart', async (t) => {
  const world = await createWorld(t)
  const { id } = (await world.ask('GET', '/v1/self')).body
  t.equal((await world.ask('DELETE', `/v1/organizations/platform/tokens/${id}`)).status, 204)
  await prepareInstance(t, world.databaseUrl, world.admin)
  t.equal((await world.ask('GET', '/v1/self')).status, 401)
  t.same(await query(world.databaseUrl, 'select from tokens'), [])
})
