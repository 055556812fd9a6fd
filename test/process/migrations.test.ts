import pg from 'pg'
import t from 'tap'
import { createDb } from '../../src/db/database.ts'
import { migrate, pendingMigrations } from '../../src/db/migrate.ts'
import { createEmptyDatabase } from '../support/database.ts'
import { freePort, run, said } from '../support/process.ts'

const adminToken = 'an-administrator-token-of-the-migration-tests'

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

t.test('instances that start at the same time on an empty database make one administrator', async (t) => {
  const url = await createEmptyDatabase()
  const starts = await Promise.all(
    [1, 2, 3].map(async () => {
      const started = run(t, [], {
        DATABASE_URL: url,
        ADMIN_TOKEN: adminToken,
        PORT: String(await freePort()),
      })
      await said(started, 'Server listening')
      return started
    }),
  )
  t.same(await query(url, 'select name from tokens'), [{ name: 'Bootstrap administrator' }])
  for (const { child, exit } of starts) {
    child.kill('SIGTERM')
    t.match(await exit, { code: 0 })
  }
})

t.test('with MIGRATE=false the service waits for `counterfoil migrate`', async (t) => {
  const url = await createEmptyDatabase()
  const env = { DATABASE_URL: url, ADMIN_TOKEN: adminToken, MIGRATE: 'false', PORT: String(await freePort()) }
  const early = run(t, [], env)
  t.match(await early.exit, { code: 78 })
  t.match(early.output(), /lacks 0001-foundation/)
  const migrated = run(t, ['migrate'], env)
  t.match(await migrated.exit, { code: 0 })
  t.match(migrated.output(), /Applied 0001-foundation/)
  const again = run(t, ['migrate'], env)
  t.match(await again.exit, { code: 0 })
  t.match(again.output(), /up to date/)
  await said(run(t, [], env), 'Server listening')
})

t.test('a database that is newer than the code stops the start', async (t) => {
  const url = await createEmptyDatabase()
  t.match(await run(t, ['migrate'], { DATABASE_URL: url }).exit, { code: 0 })
  await query(url, "insert into kysely_migration values ('9999-from-the-future', now()::text)")
  for (const MIGRATE of ['true', 'false']) {
    const started = run(t, [], { DATABASE_URL: url, ADMIN_TOKEN: adminToken, MIGRATE })
    t.match(await started.exit, { code: 78 })
    t.match(started.output(), /newer.*9999-from-the-future/)
  }
})

t.test('an administrator who was revoked or deleted does not come back by a restart', async (t) => {
  const url = await createEmptyDatabase()
  const port = String(await freePort())
  const env = { DATABASE_URL: url, ADMIN_TOKEN: adminToken, PORT: port }
  const self = (method: string, path: string) =>
    fetch(`http://127.0.0.1:${port}${path}`, { method, headers: { authorization: `Bearer ${adminToken}` } })
  const first = run(t, [], env)
  await said(first, 'Server listening')
  const { id } = (await (await self('GET', '/v1/self')).json()) as { id: string }
  t.equal((await self('DELETE', `/v1/organizations/platform/tokens/${id}`)).status, 204)
  first.child.kill('SIGTERM')
  await first.exit
  const second = run(t, [], env)
  await said(second, 'Server listening')
  t.equal((await self('GET', '/v1/self')).status, 401)
})
