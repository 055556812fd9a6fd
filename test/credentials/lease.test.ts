import { readFile } from 'node:fs/promises'
import { sql } from 'kysely'
import t, { type Test } from 'tap'
import { revokeBySql, revokeWithoutNotification, startInstance } from '../support/credentials.ts'
import { cloneDatabase } from '../support/database.ts'
import { createProxy } from '../support/proxy.ts'
import { createWorld } from '../support/world.ts'

const world = await createWorld(t)

/** An instance, and the PostgreSQL backend of its listening connection. */
async function startWatched(t: Test) {
  const before = await listenerPids()
  const instance = await startInstance(t, world)
  await instance.lease(true)
  const [pid] = (await listenerPids()).filter((pid) => !before.includes(pid))
  if (pid === undefined) throw new Error('nothing listens')
  return { ...instance, pid }
}

async function listenerPids(): Promise<number[]> {
  const { rows } = await sql<{ pid: number }>`
    select pid from pg_stat_activity
    where application_name = 'counterfoil listener' and datname = current_database()`.execute(world.db)
  return rows.map(({ pid }) => pid)
}

function runsHere(pid: number): Promise<boolean> {
  return readFile(`/proc/${pid}/cmdline`, 'utf8').then(
    (commandLine) => commandLine.startsWith('postgres'),
    () => false,
  )
}

t.test('nothing is answered before a beat comes back, and then from the cache', async (t) => {
  const proxy = await createProxy(t, world.databaseUrl)
  proxy.freeze()
  const { credentials, accepts, learn, lease } = await startInstance(t, world, { listenUrl: proxy.url })
  const { id, secret } = await world.issue()
  await t.rejects(accepts(secret), { code: 'unavailable' })
  t.match(await credentials.unready(), /does not respond/)
  proxy.thaw()
  await lease(true)
  t.equal(await credentials.unready(), undefined)
  await learn(secret)
  await revokeWithoutNotification(world, id)
  t.equal(await accepts(secret), true)
})

t.test(
  'the cache is cleared when the listening connection ends, and used again once it is back',
  async (t) => {
    const { time, accepts, learn, lease, pid } = await startWatched(t)
    const { id, secret } = await world.issue()
    await learn(secret)
    await revokeWithoutNotification(world, id)
    t.equal(await accepts(secret), true)
    await sql`select pg_terminate_backend(${pid})`.execute(world.db)
    await lease(false)
    t.equal(await accepts(secret), false)
    time.tick()
    await lease(true)
    t.equal(await accepts(secret), false)
  },
)

const [anyListener = 0] = await listenerPids()
if (await runsHere(anyListener)) {
  t.test('the cache is used for at most a second while the notifying backend hangs', async (t) => {
    const { time, accepts, learn, lease, pid } = await startWatched(t)
    const { id, secret } = await world.issue()
    await learn(secret)
    process.kill(pid, 'SIGSTOP')
    try {
      await revokeBySql(world, id)
      time.outlive()
      t.equal(await accepts(secret), false)
      time.tick()
      await lease(true)
      t.equal(await accepts(secret), false)
    } finally {
      process.kill(pid, 'SIGCONT')
    }
  })
}

t.test(
  'the cache is used for at most a second while packets of the listening connection are lost',
  async (t) => {
    const proxy = await createProxy(t, world.databaseUrl)
    const { time, accepts, learn, lease } = await startInstance(t, world, { listenUrl: proxy.url })
    await lease(true)
    const { id, secret } = await world.issue()
    await learn(secret)
    proxy.freeze()
    await revokeBySql(world, id)
    t.equal(await accepts(secret), true)
    time.outlive()
    t.equal(await accepts(secret), false)
    proxy.thaw()
    time.tick()
    await lease(true)
    t.equal(await accepts(secret), false)
  },
)

t.test('callers that wait for a notification are released when the lease is lost', async (t) => {
  const proxy = await createProxy(t, world.databaseUrl)
  const { time, credentials, accepts, learn, lease } = await startInstance(t, world, { listenUrl: proxy.url })
  await lease(true)
  const { id, secret } = await world.issue()
  await learn(secret)
  proxy.freeze()
  await revokeBySql(world, id)
  const settled = credentials.settled()
  time.outlive()
  time.tick()
  await settled
  t.equal(await accepts(secret), false)
})

t.test('without the database nothing is answered, and everything again when it is back', async (t) => {
  const proxy = await createProxy(t, world.databaseUrl)
  const { time, accepts, learn, lease } = await startInstance(t, world, { databaseUrl: proxy.url })
  await lease(true)
  const { secret } = await world.issue()
  await learn(secret)
  await proxy.close()
  await lease(false)
  await t.rejects(accepts(secret), { code: 'unavailable' })
  await proxy.reopen()
  time.tick()
  await lease(true)
  t.equal(await accepts(secret), true)
})

t.test('the lease is lost if beats cannot be sent', async (t) => {
  const proxy = await createProxy(t, world.databaseUrl)
  const { time, accepts, learn, lease } = await startInstance(t, world, {
    databaseUrl: proxy.url,
    listenUrl: world.databaseUrl,
  })
  await lease(true)
  const { secret } = await world.issue()
  await learn(secret)
  await proxy.close()
  time.tick()
  time.outlive()
  await t.rejects(accepts(secret), { code: 'unavailable' })
  await proxy.reopen()
  time.tick()
  await lease(true)
  t.equal(await accepts(secret), true)
})

t.test(
  'listening on the wrong database is detected: no beat comes back, and nothing is answered',
  async (t) => {
    const errors: string[] = []
    const { time, credentials, accepts } = await startInstance(t, world, {
      listenUrl: await cloneDatabase(),
      onError: ({ message }) => void errors.push(message),
    })
    const { secret } = await world.issue()
    let refused: Error | undefined
    accepts(secret).catch((error) => {
      refused = error
    })
    // Until it listens there is nothing to lose.
    for (; errors.length === 0 || !refused; time.tick()) {
      time.outlive()
      await new Promise(setImmediate)
    }
    t.match(refused, { code: 'unavailable' })
    t.match(errors, [/^Notifications from the database do not arrive/])
    t.equal(errors.length, 1)
    t.match(credentials.status(), { held: false, reason: 'silent' })
    const unready = credentials.unready()
    for (const _ of [1, 2]) time.outlive()
    time.tick()
    t.match(await unready, /DATABASE_LISTEN_URL/)
  },
)

t.test('without beats the database is trusted for two seconds and no longer', async (t) => {
  const proxy = await createProxy(t, world.databaseUrl)
  const { time, credentials, accepts, lease } = await startInstance(t, world, { listenUrl: proxy.url })
  await lease(true)
  const { id, secret } = await world.issue()
  await proxy.close()
  await lease(false)
  t.equal(await accepts(secret), true)
  await revokeWithoutNotification(world, id)
  t.equal(await accepts(secret), false, 'not from memory')
  time.outlive()
  t.equal(await accepts(secret), false)
  time.outlive()
  await t.rejects(accepts(secret), { code: 'unavailable' })
  t.match(await credentials.unready(), /does not respond/)
  await proxy.reopen()
  time.tick()
  await lease(true)
  t.equal(await accepts(secret), false)
  t.equal(await credentials.unready(), undefined)
})

t.test('an answer in flight while the token is revoked is not cached', async (t) => {
  const proxy = await createProxy(t, world.databaseUrl)
  const { credentials, accepts, lease } = await startInstance(t, world, { databaseUrl: proxy.url })
  await lease(true)
  const { id, secret } = await world.issue()
  const held = proxy.holdRepliesTo('credentials')
  const before = accepts(secret)
  await held.arrived
  await revokeBySql(world, id)
  await credentials.settled()
  const after = accepts(secret)
  held.release()
  t.equal(await before, true)
  t.equal(await after, false)
  t.equal(await accepts(secret), false)
})

t.test('a hung database is unavailable, and is used again once it responds', async (t) => {
  const proxy = await createProxy(t, world.databaseUrl)
  const { accepts } = await startInstance(t, world, { databaseUrl: proxy.url, cacheSize: 0 })
  const { secret } = await world.issue()
  t.equal(await accepts(secret), true)
  proxy.freeze()
  await t.rejects(accepts(secret), { code: 'unavailable' })
  await t.rejects(accepts(secret), { code: 'unavailable' }, 'nor can one connect to it')
  proxy.thaw()
  t.equal(await accepts(secret), true)
})
