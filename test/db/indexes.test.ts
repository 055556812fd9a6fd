import pg from 'pg'
import t from 'tap'
import { createDb, type Db, maintenanceMs } from '../../src/db/database.ts'
import { concurrently, pendingIndexes } from '../../src/db/indexes.ts'
import { indexes, migrate } from '../../src/db/migrate.ts'
import { planMigrations } from '../../src/db/migration-plan.ts'
import { cloneDatabase } from '../support/database.ts'
import { until } from '../support/until.ts'

const url = await cloneDatabase()
const [db, another] = [0, 1].map(() => createDb({ url, poolSize: 2, queryMs: maintenanceMs })) as [Db, Db]
const [reader, writer] = [new pg.Client(url), new pg.Client(url)]
await Promise.all([reader.connect(), writer.connect()])
t.teardown(() => Promise.all([db.destroy(), another.destroy(), reader.end(), writer.end()]))
const index = 'token_secrets_current'

t.beforeEach(() => writer.query(`drop index if exists ${index}`))

/** Runs `work` while PostgreSQL waits, before it may complete the index, for a transaction that has written to the table. */
async function whileMaking(migrating: Db, work: (made: Promise<string[]>) => Promise<void>): Promise<void> {
  await reader.query('begin; update token_secrets set hint = hint')
  const made = migrate(migrating)
  made.catch(() => {})
  await until(async () => (await waitingBuilds()).length > 0)
  await work(made)
  await reader.query('commit')
  await made.catch(() => {})
}

async function waitingBuilds(): Promise<number[]> {
  const { rows } = await writer.query(
    `select pid from pg_stat_activity where datname = current_database() and query like 'create index concurrently%'
       and wait_event_type = 'Lock'`,
  )
  return rows.map(({ pid }) => pid)
}

t.test('an index on a large table is made while others write to the table, by one instance', async (t) => {
  let both: Promise<string[][]> | undefined
  await whileMaking(db, async (made) => {
    both = Promise.all([made, migrate(another)])
    await writer.query(`set lock_timeout = '5s'; update token_secrets set hint = hint where hint = 'other'`)
  })
  const statements = (await both)?.flat()
  t.match(statements, [/^create index concurrently token_secrets_current on token_secrets/])
  t.equal(statements?.length, 1)
  t.same(await pendingIndexes(db, indexes), [])
})

t.test('what an interrupted build has left is replaced', async (t) => {
  await whileMaking(db, async (made) => {
    for (const pid of await waitingBuilds()) await writer.query('select pg_cancel_backend($1)', [pid])
    await t.rejects(made, { code: '57014' })
  })
  const { rows } = await writer.query('select from pg_index where not indisvalid')
  t.equal(rows.length, 1)
  t.match(await planMigrations(db), [
    { name: 'indexes', statements: [`drop index concurrently ${index}`] },
    { name: 'indexes', statements: [/^create index concurrently/] },
  ])
  for (const { locks } of await planMigrations(db))
    t.same([...locks], [['token_secrets', 'ShareUpdateExclusiveLock']])
  await migrate(db)
  t.same(await pendingIndexes(db, indexes), [])
})

t.test('the statement that comes last decides whether there is an index', async (t) => {
  const make = `create index ${index} on token_secrets (hint)`
  const drop = `drop index ${index}`
  t.same(await pendingIndexes(db, [make]), [make])
  t.same(await pendingIndexes(db, [make, drop]), [])
  await writer.query(concurrently(make))
  t.same(await pendingIndexes(db, [make]), [])
  t.same(await pendingIndexes(db, [make, drop]), [drop])
  t.same(await pendingIndexes(db, [make, drop, make]), [])
})
