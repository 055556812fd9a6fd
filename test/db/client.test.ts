import { mock } from 'node:test'
import t, { type Test } from 'tap'
import { clientWith } from '../../src/db/client.ts'
import { createPool } from '../../src/db/database.ts'
import { createProxy } from '../support/proxy.ts'
import { createWorld } from '../support/world.ts'

const world = await createWorld(t)

function startPool(t: Test, queryMs: number) {
  const pool = createPool({ url: world.databaseUrl, poolSize: 1, connectMs: 5_000, queryMs })
  t.teardown(() => pool.end())
  return pool
}

t.test('a statement resolves a promise or calls a callback, with and without parameters', async (t) => {
  const pool = startPool(t, 5_000)
  const client = await pool.connect()
  t.same((await client.query('select 1 as one')).rows, [{ one: 1 }])
  t.same((await client.query({ text: 'select $1::integer as one', values: [1] })).rows, [{ one: 1 }])
  t.same((await client.query('select $1::integer as one', [1])).rows, [{ one: 1 }])
  client.release()
  t.same((await pool.query('select $1::integer as one', [1])).rows, [{ one: 1 }])
  await t.rejects(pool.query('select 1 / 0'), { code: '22012' })
  t.same(
    (await pool.query('select 1 as one')).rows,
    [{ one: 1 }],
    'what was wrong with one is not with the next',
  )
})

t.test('a connection that the client abandons is closed', async (t) => {
  const { hostname, port, username, pathname } = new URL(world.databaseUrl)
  const Client = clientWith({ queryMs: 5_000, prepares: true })
  const client = new Client({
    host: hostname,
    port: Number(port),
    user: username,
    database: pathname.slice(1),
    // Discovered only when the server asks for it.
    password: () => 7662 as never,
  })
  client.on('error', () => {})
  await t.rejects(client.connect(), { message: /password must be a string/i })
  t.ok(client.connection.stream.destroyed)
})

t.test(
  'a connection that breaks during its first statement fails, and does not end the process',
  async (t) => {
    const proxy = await createProxy(t, world.databaseUrl)
    const pool = createPool({ url: proxy.url, poolSize: 1, connectMs: 5_000, queryMs: 5_000 })
    t.teardown(() => pool.end())
    const held = proxy.holdRepliesTo('pg_is_in_recovery')
    const connected = pool.connect()
    await held.arrived
    await Promise.all([t.rejects(connected, { message: /Connection terminated/ }), proxy.close()])
    held.release()
  },
)

t.test('a statement that times out fails together with its connection', async (t) => {
  const holder = await startPool(t, 5_000).connect()
  await holder.query('select pg_advisory_lock(1)')
  const pool = startPool(t, 5_000)
  const client = await pool.connect()
  const { rows } = await client.query('select pg_backend_pid() as pid')
  const lost = new Promise((resolve) => client.once('end', resolve))
  mock.timers.enable({ apis: ['setTimeout'] })
  t.teardown(() => mock.timers.reset())
  const waiting = client.query('select pg_advisory_lock(1)')
  mock.timers.tick(5_000)
  await t.rejects(waiting, { message: 'Query read timeout' })
  mock.timers.reset()
  await lost
  await t.rejects(client.query('select 1'), 'nothing is asked over it any more')
  client.release()
  const again = await pool.query('select pg_backend_pid() as pid')
  t.not(again.rows[0].pid, rows[0].pid)
  holder.release()
})

t.test('PostgreSQL cancels an abandoned statement, and the connection remains', async (t) => {
  const pool = startPool(t, 500)
  const client = await pool.connect()
  const pid = await client.query('select pg_backend_pid() as pid')
  await t.rejects(client.query('select pg_sleep(60)'), { code: '57014' })
  t.same((await client.query('select pg_backend_pid() as pid')).rows, pid.rows)
  const { rows } = await world.sql(
    "select state from pg_stat_activity where pid = $1 and query not like '%pg_sleep%'",
    [pid.rows[0].pid],
  )
  t.same(rows, [{ state: 'idle' }], 'it does not run on')
  client.release()
})

t.test('a lock wait times out before the statement does', async (t) => {
  const holder = await startPool(t, 10_000).connect()
  await holder.query('select pg_advisory_lock(2)')
  await t.rejects(startPool(t, 500).query('select pg_advisory_lock(2)'), { code: '55P03' })
  holder.release()
})

t.test('an abandoned transaction does not keep its locks', async (t) => {
  const forgetful = await startPool(t, 500).connect()
  const lost = new Promise((resolve) => forgetful.once('end', resolve))
  await forgetful.query('begin; select pg_advisory_xact_lock(3)')
  await lost
  await startPool(t, 10_000).query('select pg_advisory_lock(3)')
  forgetful.release()
})
