import pg from 'pg'
import t, { type Test } from 'tap'
import { readFeed } from '../../src/revocations/revocations.ts'
import { createWorld } from '../support/world.ts'

const world = await createWorld(t)

async function connect(t: Test): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: world.databaseUrl })
  await client.connect()
  t.teardown(() => client.end())
  return client
}

const now = async () => (await readFeed(world.db, undefined, 0)).cursor
const revoke = 'update tokens set revoked_at = now() where id = $1'

t.test('events are in commit order, however their transactions overlap', async (t) => {
  const [one, other] = [await connect(t), await connect(t)]
  const [first, second] = [await world.issue(), await world.issue()]
  const start = await now()
  await one.query('begin')
  await one.query(revoke, [first.id])
  await other.query(revoke, [second.id])
  const between = await readFeed(world.db, start, 10)
  t.match(between.events, [{ tokenId: second.id }])
  await one.query('commit')
  t.match((await readFeed(world.db, between.cursor, 10)).events, [{ tokenId: first.id }])
})

t.test('no event is numbered while a numbered transaction has yet to commit', async (t) => {
  const [one, other] = [await connect(t), await connect(t)]
  const [first, second] = [await world.issue(), await world.issue()]
  const start = await now()
  await one.query('begin')
  await one.query(revoke, [first.id])
  await one.query('set constraints all immediate')
  const waiting = other.query(revoke, [second.id])
  await waitsForLock(other)
  t.same((await readFeed(world.db, start, 10)).events, [])
  await one.query('commit')
  await waiting
  t.match((await readFeed(world.db, start, 10)).events, [{ tokenId: first.id }, { tokenId: second.id }])
})

t.test('rolled-back changes are not reported', async (t) => {
  const one = await connect(t)
  const { id } = await world.issue()
  const start = await now()
  await one.query('begin')
  await one.query(revoke, [id])
  await one.query('rollback')
  t.same((await readFeed(world.db, start, 10)).events, [])
})

t.test(
  'what a savepoint leaves of a transaction is reported, and what follows an early numbering',
  async (t) => {
    const one = await connect(t)
    const [undone, kept, last] = [await world.issue(), await world.issue(), await world.issue()]
    const start = await now()
    await one.query('begin')
    await one.query('savepoint a')
    await one.query(revoke, [undone.id])
    await one.query('rollback to savepoint a')
    await one.query(revoke, [kept.id])
    await one.query('set constraints all immediate')
    await one.query('set constraints all deferred')
    await one.query(revoke, [last.id])
    await one.query('commit')
    t.match((await readFeed(world.db, start, 10)).events, [{ tokenId: kept.id }, { tokenId: last.id }])
  },
)

t.test('a reader of many concurrent writers misses nothing and sees nothing twice', async (t) => {
  const ids: string[] = []
  for (let i = 0; i < 60; i++) ids.push((await world.issue()).id)
  const seen: (string | null)[] = []
  let cursor = await now()
  const writers = Array.from({ length: 6 }, async (_, writer) => {
    const client = await connect(t)
    const own = ids.filter((_id, i) => i % 6 === writer)
    // Some transactions lock one token, some three, and they last long.
    while (own.length > 0) {
      await client.query('begin')
      for (const id of own.splice(0, 1 + (own.length % 3))) await client.query(revoke, [id])
      await client.query('commit')
    }
  })
  let writing = true
  const done = Promise.all(writers).finally(() => {
    writing = false
  })
  for (let last = false; !last; ) {
    last = !writing
    const reading = await readFeed(world.db, cursor, 7)
    cursor = reading.cursor
    seen.push(...reading.events.map(({ tokenId }) => tokenId))
    last &&= !reading.more
  }
  await done
  t.same(seen.sort(), ids.sort())
})

t.test('a transaction that revokes very many tokens is numbered at once', async (t) => {
  const one = await connect(t)
  for (let i = 0; i < 3; i++) await world.issue()
  const start = await now()
  const { rowCount } = await one.query('update tokens set revoked_at = now() where revoked_at is null')
  const { events } = await readFeed(world.db, start, 1000)
  t.equal(events.length, rowCount)
  const { rows } = await one.query('select count(*)::int as count from revocations where position is null')
  t.same(rows, [{ count: 0 }])
})

/** Resolves when PostgreSQL reports that the connection waits for a lock. */
async function waitsForLock(client: pg.Client): Promise<void> {
  const { processID } = client as unknown as { processID: number }
  const query = `select wait_event_type from pg_stat_activity where pid = $1`
  for (let event = ''; event !== 'Lock'; )
    event = (await world.sql(query, [processID])).rows[0]?.wait_event_type ?? ''
}
