import { sql } from 'kysely'
import t from 'tap'
import { createDb, type Db } from '../../src/db/database.ts'
import { indexes, migrate, migrations, pendingMigrations } from '../../src/db/migrate.ts'
import {
  type LockMode,
  lockModes,
  locksOf,
  planMigrations,
  selectTablesBehind,
  statementsOf,
} from '../../src/db/migration-plan.ts'
import { createEmptyDatabase } from '../support/database.ts'

const rowsOf = async <Row>(db: Db, text: string) => (await sql.raw<Row>(text).execute(db)).rows

t.test('the locks of every migration are those that PostgreSQL takes for it', async (t) => {
  const db = createDb({ url: await createEmptyDatabase(), poolSize: 1 })
  t.teardown(() => db.destroy())
  for (const [name, { up }] of Object.entries(migrations)) {
    await db.transaction().execute(async (tx) => {
      const tables = async () =>
        new Set(
          (
            await rowsOf<{ name: string }>(
              tx,
              `select relname as name from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace`,
            )
          ).map((table) => table.name),
        )
      const before = await tables()
      const behind = await selectTablesBehind(tx)
      await (up as (db: Db) => Promise<void>)(tx.withoutPlugins())
      // New tables are used by no other transaction, and the locks of dropped ones have no name any more.
      const after = await tables()
      const existing = new Set([...before].filter((name) => after.has(name)))
      const held = await rowsOf<{ name: string; mode: LockMode }>(
        tx,
        `select relname as name, mode from pg_locks join pg_class on pg_class.oid = relation
         where pid = pg_backend_pid() and relkind = 'r'`,
      )
      const strongest = new Map<string, LockMode>()
      for (const { name, mode } of held.filter(
        ({ name, mode }) => existing.has(name) && lockModes.includes(mode),
      ))
        if (
          !strongest.has(name) ||
          lockModes.indexOf(strongest.get(name) as LockMode) < lockModes.indexOf(mode)
        )
          strongest.set(name, mode)
      const planned = locksOf(await statementsOf(name), behind)
      const sorted = (locks: Map<string, LockMode>) =>
        [...locks].filter(([table]) => existing.has(table)).sort()
      t.same(sorted(planned), sorted(strongest), name)
    })
  }
})

t.test('a plan has the SQL that is missing, and changes nothing', async (t) => {
  const db = createDb({ url: await createEmptyDatabase(), poolSize: 1 })
  t.teardown(() => db.destroy())
  const whole = await planMigrations(db)
  t.same(
    whole.map(({ name }) => name),
    [...Object.keys(migrations), ...indexes.filter((sql) => sql.startsWith('create')).map(() => 'indexes')],
  )
  t.same(new Map(whole.flatMap(({ locks }) => [...locks])), new Map(), 'new tables are used by nobody')
  t.equal((await pendingMigrations(db)).length, Object.keys(migrations).length)
  const { rows } = await sql`select from pg_class where relnamespace = 'public'::regnamespace`.execute(db)
  t.equal(rows.length, 0)

  await migrate(db)
  t.same(await planMigrations(db), [])
  await sql`delete from kysely_migration where name = '0023-attention'`.execute(db)
  t.match(await planMigrations(db), [
    { name: '0023-attention', statements: [/^create index tokens_expiring on tokens/, /^create index/] },
  ])
  t.same(
    [...((await planMigrations(db))[0]?.locks ?? [])],
    [
      ['tokens', 'ShareLock'],
      ['token_uses', 'ShareLock'],
    ],
  )
})
