import t, { type Test } from 'tap'
import { revokeBySql, revokeWithoutNotification, startInstance } from '../support/credentials.ts'
import { hasPgbouncer, startPgbouncer } from '../support/pgbouncer.ts'
import { createProxy } from '../support/proxy.ts'
import { retried } from '../support/retried.ts'
import { type Pair, startPair } from '../support/standby.ts'
import { createWorld, type World, type WorldOptions } from '../support/world.ts'

/** A service that reaches the database as by a name, which leads to the primary at first. */
async function startService(t: Test, pair: Pair, options: WorldOptions = {}) {
  const name = await createProxy(t, pair.primary.url)
  const world = await createWorld(t, { databaseUrl: name.url, ...options })
  return { name, world }
}

const pair = await startPair(t)
const observer = await createWorld(t, { databaseUrl: pair.primary.url })

/** The standby does not learn of revocations while this runs. */
async function withoutReplay(run: () => Promise<void>): Promise<void> {
  await pair.caughtUp()
  await pair.standby.asSuperuser('select pg_wal_replay_pause()')
  await run().finally(() => pair.standby.asSuperuser('select pg_wal_replay_resume()'))
}

const introspect = (world: World, caller: string, token: string) =>
  world.ask('POST', '/introspect', { token: caller, form: { token } })

for (const cacheSize of [1000, 0]) {
  t.test(
    `a revoked token is not accepted on a standby, which is not ready (CACHE_SIZE=${cacheSize})`,
    async (t) => {
      const { name, world } = await startService(t, pair, { signing: observer.signing, hot: { cacheSize } })
      const { id, secret } = await observer.issue()
      t.match(await introspect(world, observer.admin, secret), { status: 200, body: { active: true } })
      await withoutReplay(async () => {
        name.flip(pair.standby.url)
        await revokeBySql(observer, id)
        for (let asked = 0; asked < 20; asked++) {
          const { status, headers } = await introspect(world, observer.admin, secret)
          t.equal(status, 503)
          t.ok(headers['retry-after'])
        }
        const ready = await world.ask('GET', '/readyz', { token: '' })
        t.equal(ready.status, 503)
        const list = '/v1/organizations/default/tokens'
        t.equal((await world.ask('GET', list, { token: observer.admin })).status, 503)
      })
      name.flip(pair.primary.url)
      const answer = await retried(() => introspect(world, observer.admin, secret))
      t.match(answer, { status: 200, body: { active: false } })
      const body = { name: 'After the switchover', type: 'api' }
      const url = '/v1/organizations/default/tokens'
      t.equal((await retried(() => world.ask('POST', url, { token: observer.admin, body }))).status, 201)
      t.equal((await retried(() => world.ask('GET', '/readyz', { token: '' }))).status, 200)
    },
  )
}

if (hasPgbouncer()) {
  t.test('an answer from a standby behind a pooler is not trusted', async (t) => {
    const name = await createProxy(t, pair.primary.url)
    const databaseUrl = await startPgbouncer(t, name.url)
    const instance = await startInstance(t, observer, {
      databaseUrl,
      listenUrl: pair.primary.url,
      cacheSize: 0,
    })
    await instance.lease(true)
    const { id, secret } = await observer.issue()
    t.equal(await instance.accepts(secret), true)
    await withoutReplay(async () => {
      await revokeWithoutNotification(observer, id)
      name.flip(pair.standby.url)
      const refused = async (): Promise<string> => {
        const answer = await instance.accepts(secret).catch(({ message }: Error) => message)
        t.not(answer, true)
        return String(answer).includes('in recovery') ? String(answer) : refused()
      }
      t.match(await refused(), /in recovery/)
    })
    name.flip(pair.primary.url)
    const accepted = (): Promise<boolean> => instance.accepts(secret).catch(accepted)
    t.equal(await accepted(), false)
  })
}

t.test('the primary is found among the hosts in a URL, also after a promotion', async (t) => {
  const pair = await startPair(t)
  const [primary, standby] = [new URL(pair.primary.url), new URL(pair.standby.url)]
  const timelines: string[][] = []
  const databaseUrl = `${pair.primary.url.replace(primary.host, `${standby.host},${primary.host}`)}?target_session_attrs=read-write`
  const world = await createWorld(t, {
    databaseUrl,
    hot: { onTimeline: (...change) => void timelines.push(change) },
  })
  const { id, secret } = await world.issue()
  const kept = await world.issue()
  t.match(await world.introspect(secret), { active: true })
  const { cursor } = (await world.ask('GET', '/v1/revocations')).body
  await world.ask('POST', `/v1/organizations/default/tokens/${id}/revoke`)
  await pair.caughtUp()
  await pair.primary.kill()
  t.equal((await world.ask('GET', '/readyz', { token: '' })).status, 503)
  await pair.promote()
  const answers = async (token: string) => (await retried(() => introspect(world, world.admin, token))).body
  t.match(await answers(kept.secret), { active: true })
  t.match(await answers(secret), { active: false })
  t.equal((await retried(() => world.ask('GET', '/readyz', { token: '' }))).status, 200)
  const body = { name: 'On the new primary', type: 'api' }
  const url = '/v1/organizations/default/tokens'
  t.equal((await retried(() => world.ask('POST', url, { body }))).status, 201)

  t.equal(timelines.length, 1, 'the new timeline was told of once')
  t.match((await world.ask('GET', '/metrics')).text, 'counterfoil_timeline_changes_total 1')
  const page = await retried(() => world.ask('GET', `/v1/revocations?since=${cursor}`))
  t.match(page, { status: 410, body: { code: 'cursor_gone' } })
})

t.test('lookups are not trusted while notifications come from another server', async (t) => {
  const pair = await startPair(t)
  await pair.caughtUp()
  const databaseUrl = pair.primary.url
  const world = await createWorld(t, { databaseUrl })
  const { id, secret } = await world.issue()
  await pair.caughtUp()
  await pair.promote()
  await revokeBySql(world, id)
  const name = await createProxy(t, pair.standby.url)
  const instance = await startInstance(t, world, { databaseUrl: name.url, listenUrl: databaseUrl })
  await t.rejects(instance.accepts(secret), { code: 'unavailable' })
  // The same goes for the feed if the server is not the one that notifications come from.
  const service = await createWorld(t, {
    databaseUrl: name.url,
    signing: world.signing,
    hot: { listenUrl: databaseUrl },
  })
  for (const path of ['/v1/revocations', '/v1/revocations/stream'])
    t.equal((await service.ask('GET', path, { token: world.admin })).status, 503, path)
  name.flip(databaseUrl)
  await instance.lease(true)
  t.equal(await instance.accepts(secret), false)
})
