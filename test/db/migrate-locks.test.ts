import pg from 'pg'
import t from 'tap'
import { createDb } from '../../src/db/database.ts'
import { migrate } from '../../src/db/migrate.ts'
import { cloneDatabase } from '../support/database.ts'
import { until } from '../support/until.ts'

const url = await cloneDatabase()
const db = createDb({ url, poolSize: 1 })
t.teardown(() => db.destroy())
const [holder, other] = [new pg.Client(url), new pg.Client(url)]
for (const client of [holder, other]) await client.connect()
t.teardown(() => Promise.all([holder, other].map((client) => client.end())))
const lock = 'begin; lock table kysely_migration in access exclusive mode'

t.test('migrating lets others go on while a table stays locked, and starts again', async (t) => {
  await holder.query(lock)
  const migrating = migrate(db, { ms: 50, pauseMs: 10, attempts: 100_000 })
  const isWaiting = async () => {
    const { rows } = await other.query(
      "select from pg_locks where not granted and relation = 'kysely_migration'::regclass",
    )
    return rows.length > 0
  }
  await until(isWaiting)
  await until(async () => !(await isWaiting()))
  await holder.query('commit')
  t.same(await migrating, [])
})

t.test('migrating ends with the reason if the table stays locked', async (t) => {
  await holder.query(lock)
  await t.rejects(migrate(db, { ms: 20, pauseMs: 1, attempts: 3 }), { code: '55P03' })
  await holder.query('rollback')
})
