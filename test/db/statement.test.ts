import { sql } from 'kysely'
import t from 'tap'
import { createDb } from '../../src/db/database.ts'
import { statement } from '../../src/db/statement.ts'
import { createWorld } from '../support/world.ts'

const world = await createWorld(t)

const named = statement<{ key: string }, { name: string }>('organization-name', (builder, parameter) =>
  builder.selectFrom('organizations').select('name').where('key', '=', parameter('key')).compile(),
)

function openDb(prepares: boolean) {
  const db = createDb({ url: world.databaseUrl, poolSize: 1, prepares })
  t.teardown(() => db.destroy())
  const plans = async () => {
    const { rows } = await sql<{ calls: number }>`
      select (generic_plans + custom_plans)::int as calls from pg_prepared_statements`.execute(db)
    return rows.map(({ calls }) => calls)
  }
  return { db, plans }
}

t.test('a statement takes the values of each call and is planned once per connection', async (t) => {
  const { db, plans } = openDb(true)
  t.same(await named(db, { key: 'default' }), [{ name: 'Default' }])
  t.same(await named(db, { key: 'platform' }), [{ name: 'Platform' }])
  t.same(await db.transaction().execute((tx) => named(tx, { key: 'none' })), [])
  t.same(await plans(), [3])
})

t.test('behind a pooler nothing is prepared', async (t) => {
  const { db, plans } = openDb(false)
  t.same(await named(db, { key: 'default' }), [{ name: 'Default' }])
  t.same(await plans(), [])
})

t.test(
  'a statement with * is rejected, since a migration by another version changes its meaning',
  async (t) => {
    t.throws(() => statement('x', (builder) => builder.selectFrom('organizations').selectAll().compile()))
    t.throws(() => statement('x', (builder) => builder.selectFrom('tokens').selectAll('tokens').compile()))
    t.throws(() => statement('x', (builder) => builder.deleteFrom('tokens').returningAll().compile()))
  },
)

t.test('tokens are created, read and revoked over connections opened before a migration', async (t) => {
  const created = await world.issue()
  const url = (id: string) => `/v1/organizations/default/tokens/${id}`
  const use = async () => {
    const { id } = await world.issue()
    t.match(await world.ask('GET', url(id)), { status: 200, body: { status: 'active' } })
    t.match(await world.ask('POST', `${url(id)}/revoke`), { status: 200, body: { status: 'revoked' } })
  }
  // More often than there are connections, so that each of them has a cached plan.
  for (let i = 0; i < 20; i++) await use()
  for (const table of ['organizations', 'token_types', 'tokens', 'token_secrets', 'audit_events']) {
    await sql.raw(`alter table ${table} add column later text not null default 'later'`).execute(world.db)
  }
  for (let i = 0; i < 20; i++) await use()
  t.match(await world.introspect(created.secret, world.admin), { active: true })
})
