import { sql } from 'kysely'
import t from 'tap'
import type { Db } from '../../src/db/database.ts'
import { coalesce } from '../../src/db/group-commit.ts'
import { createWorld } from '../support/world.ts'

const { db, sql: bySql } = await createWorld(t)
await sql`create table marks (name text primary key check (name <> 'unfit'))`.execute(db)

async function insertMarks(db: Db, names: string[]): Promise<string[]> {
  const { rows } = await sql<{ name: string }>`
    insert into marks select unnest(${names}::text[]) returning name`.execute(db)
  return rows.map(({ name }) => name)
}

/** Creates marks; records how many items each statement of `all` got, and which items `one` got. */
function marking(all: (db: Db, names: string[]) => Promise<(string | undefined)[]> = insertMarks) {
  const sizes: number[] = []
  const alone: string[] = []
  const mark = coalesce<string, string>({
    async all(db, names) {
      sizes.push(names.length)
      return all(db, names)
    },
    async one(db, name) {
      alone.push(name)
      return (await insertMarks(db, [name]))[0]
    },
  })
  return { mark, sizes, alone }
}

const names = (count: number, prefix: string) =>
  Array.from({ length: count }, (_, index) => `${prefix}-${index}`)
const isMade = async (name: string) =>
  (await bySql('select from marks where name = $1', [name])).rows.length === 1

t.test('concurrent items are handled by one statement, and each gets its own result', async (t) => {
  const { mark, sizes, alone } = marking()
  const asked = names(20, 'once')
  t.same(await Promise.all(asked.map((name) => mark(db, name))), asked)
  t.same([sizes, alone], [[20], []])
})

t.test('null is a result: only an item that is left alone is done on its own', async (t) => {
  const find = coalesce<string, string | null>({
    all: async (_db, items) => items.map((item) => (item === 'left' ? undefined : null)),
    one: async (_db, item) => `${item} alone`,
  })
  t.same(await Promise.all([find(db, 'absent'), find(db, 'left')]), [null, 'left alone'])
})

t.test('what comes in while a statement is on its way goes with the next one', async (t) => {
  const later: Promise<unknown>[] = []
  const { mark, sizes } = marking(async (db, asked) => {
    if (asked[0] === 'first') later.push(mark(db, 'second'), mark(db, 'third'))
    return insertMarks(db, asked)
  })
  t.equal(await mark(db, 'first'), 'first')
  t.same(await Promise.all(later), ['second', 'third'])
  t.same(sizes, [1, 2])
})

t.test('a statement handles at most fifty items', async (t) => {
  const { mark, sizes } = marking()
  const asked = names(120, 'many')
  t.same(await Promise.all(asked.map((name) => mark(db, name))), asked)
  t.same(sizes, [50, 50, 20])
})

t.test('an item that was left out is handled alone', async (t) => {
  const { mark, alone } = marking(async (_db, asked) => asked.map(() => undefined))
  t.same(await Promise.all([mark(db, 'left'), mark(db, 'out')]), ['left', 'out'])
  t.same(alone, ['left', 'out'])
})

t.test('an item that cannot be stored does not fail the others', async (t) => {
  const { mark } = marking()
  const asked = ['fit', 'unfit', 'fit too', 'fit']
  const outcomes = await Promise.allSettled(asked.map((name) => mark(db, name)))
  t.match(outcomes, [
    { value: 'fit' },
    { reason: { code: '23514' } },
    { value: 'fit too' },
    { reason: { code: '23505' } },
  ])
})

t.test('a cancelled statement fails all its items, and none is retried', async (t) => {
  const { mark, alone } = marking(async (db, asked) => {
    if (asked.includes('lost')) await sql`select pg_cancel_backend(pg_backend_pid())`.execute(db)
    return insertMarks(db, asked)
  })
  const outcomes = await Promise.allSettled([mark(db, 'lost'), mark(db, 'lost too')])
  t.match(outcomes, [{ reason: { code: '57014' } }, { reason: { code: '57014' } }])
  t.same(alone, [])
  t.equal(await mark(db, 'afterwards'), 'afterwards')
})

t.test('items queued behind a statement that loses its connection fail with it', async (t) => {
  const later: Promise<unknown>[] = []
  const { mark, alone } = marking(async (db, asked) => {
    later.push(mark(db, 'behind').catch((error: Error) => error.message))
    await sql`select pg_terminate_backend(pg_backend_pid())`.execute(db)
    return insertMarks(db, asked)
  })
  await t.rejects(mark(db, 'lost'))
  t.match(await Promise.all(later), [/terminat/])
  t.same([await isMade('lost'), await isMade('behind'), alone], [false, false, []])
})
