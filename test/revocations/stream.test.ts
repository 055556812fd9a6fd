import { once } from 'node:events'
import t, { type Test } from 'tap'
import { openStream as openReadable } from '../../src/revocations/stream.ts'
import type { Follower } from '../../src/revocations/tail.ts'
import { createProxy } from '../support/proxy.ts'
import { openStream } from '../support/stream.ts'
import { createWorld, type World } from '../support/world.ts'

const lifetimeMs = 10 * 60_000
const world = await createWorld(t, { feed: { lifetimeMs } })
const url = await world.app.listen({ host: '127.0.0.1', port: 0 })
const resourceServer = await world.manager(['tokens:introspect'], 'platform')

async function follow(t: Test, { token = resourceServer, lastEventId = '', query = '' } = {}) {
  return openStream(t, `${url}/v1/revocations/stream${query}`, { token, lastEventId })
}

async function revoke({ ask }: World, id: string): Promise<void> {
  await ask('POST', `/v1/organizations/default/tokens/${id}/revoke`)
}

t.test('a stream begins with a beat, and then reports revocations as they happen', async (t) => {
  const stream = await follow(t)
  t.equal(stream.response.status, 200)
  t.match(stream.response.headers.get('content-type'), /^text\/event-stream/)
  t.equal(stream.response.headers.get('cache-control'), 'no-store')
  t.match(await stream.next(), { event: 'beat', id: /^[0-9A-F]{8}\.\d+$/, data: '{"age_ms":0}' })
  const { id } = await world.issue()
  await revoke(world, id)
  const event = await stream.nextOf('revocation')
  t.match(event, { token_id: id, reason: 'revoked', organization: 'default', id: event.cursor })
  t.ok((await stream.nextOf('beat')).age_ms > 0, 'a beat dates from the reading that it reports')
})

t.test('events arrive with the notification, without waiting for a beat', async (t) => {
  const still = await createWorld(t, { feed: { lifetimeMs, every: () => () => {} } })
  const base = await still.app.listen({ host: '127.0.0.1', port: 0 })
  const stream = await openStream(t, `${base}/v1/revocations/stream`, { token: still.admin })
  await stream.nextOf('beat')
  const { id } = await still.issue()
  await revoke(still, id)
  t.match(await stream.nextOf('revocation'), { token_id: id })
})

t.test('without notifications events arrive with the next beat', async (t) => {
  const quiet = await createWorld(t, { feed: { lifetimeMs }, hot: { onChange: () => {} } })
  const base = await quiet.app.listen({ host: '127.0.0.1', port: 0 })
  const stream = await openStream(t, `${base}/v1/revocations/stream`, { token: quiet.admin })
  await stream.nextOf('beat')
  const { id } = await quiet.issue()
  await revoke(quiet, id)
  t.match(await stream.nextOf('revocation'), { token_id: id })
})

t.test('with Last-Event-ID a stream continues where another one ended', async (t) => {
  const first = await follow(t)
  const { cursor } = await first.nextOf('beat')
  const ids: string[] = []
  for (let i = 0; i < 3; i++) {
    const { id } = await world.issue()
    await revoke(world, id)
    ids.push(id)
  }
  const second = await follow(t, { lastEventId: cursor })
  const told = [await second.next(), await second.next(), await second.next()]
  t.same(
    told.map((event) => JSON.parse(event?.data ?? '{}').token_id),
    ids,
  )
  t.match(await second.next(), { event: 'beat' })
  const third = await follow(t, { lastEventId: told[1]?.id ?? '' })
  t.match(await third.nextOf('revocation'), { token_id: ids[2] })
})

t.test('a reader with an unknown cursor, or far behind, is reset', async (t) => {
  const { cursor } = await (await follow(t)).nextOf('beat')
  const elsewhere = await follow(t, { lastEventId: cursor.replace(/^\w+/, 'FFFFFFFF') })
  t.match(await elsewhere.next(), { event: 'reset' })
  t.match(await elsewhere.next(), { event: 'beat' })
  await world.sql(
    `insert into revocations (reason, organization_key) select 'changed', 'x' from generate_series(1, 1001)`,
  )
  const behind = await follow(t, { lastEventId: cursor })
  t.match(await behind.next(), { event: 'reset' })
  const beat = await behind.nextOf('beat')
  const again = await follow(t, { lastEventId: beat.cursor })
  t.match(await again.next(), { event: 'beat', id: beat.cursor })
  t.match((await follow(t, { lastEventId: 'x' })).response, { status: 400 })
})

t.test(
  'a resource server of an organization gets only events of its own tokens, and its cursor advances anyway',
  async (t) => {
    const own = await world.manager(['tokens:introspect'])
    await world.ask('POST', '/v1/organizations', { body: { key: 'other', name: 'Other' } })
    const stream = await follow(t, { token: own })
    const { cursor } = await stream.nextOf('beat')
    const foreign = await world.issue({}, 'other')
    await world.ask('POST', `/v1/organizations/other/tokens/${foreign.id}/revoke`)
    const { id } = await world.issue()
    await revoke(world, id)
    t.match(await stream.next().then((event) => (event?.event === 'beat' ? stream.next() : event)), {
      event: 'revocation',
      data: new RegExp(id),
    })
    t.not((await stream.nextOf('beat')).cursor, cursor)
  },
)

t.test('a stream ends when the token that reads it is revoked', async (t) => {
  const { id, secret } = await world.issue({ type: 'management', scopes: ['tokens:introspect'] })
  const stream = await follow(t, { token: secret })
  await stream.nextOf('beat')
  await revoke(world, id)
  const names = await stream.rest()
  t.equal(names.filter((name) => name === 'revocation').length, 1, 'of which it is told too')
})

t.test('a stream ends after its maximum lifetime', async (t) => {
  const brief = await createWorld(t)
  const base = await brief.app.listen({ host: '127.0.0.1', port: 0 })
  const stream = await openStream(t, `${base}/v1/revocations/stream`, { token: brief.admin })
  t.same(await stream.rest(), ['beat'])
})

t.test('streams end when the database is unavailable, and none can start', async (t) => {
  const proxy = await createProxy(t, world.databaseUrl)
  const cut = await createWorld(t, {
    databaseUrl: world.databaseUrl,
    signing: world.signing,
    feed: { lifetimeMs, databaseUrl: proxy.url },
  })
  const base = await cut.app.listen({ host: '127.0.0.1', port: 0 })
  const stream = await openStream(t, `${base}/v1/revocations/stream`, { token: resourceServer })
  await stream.nextOf('beat')
  await proxy.close()
  await stream.rest()
  const refused = await cut.ask('GET', '/v1/revocations/stream', { token: resourceServer })
  t.match(refused, { status: 503, body: { code: 'unavailable' } })
  await proxy.reopen()
  t.match(await cut.ask('HEAD', '/v1/revocations/stream', { token: resourceServer }), { status: 200 })
})

t.test('streams do not keep the service from closing', async (t) => {
  const closing = await createWorld(t, { feed: { lifetimeMs } })
  const base = await closing.app.listen({ host: '127.0.0.1', port: 0 })
  const stream = await openStream(t, `${base}/v1/revocations/stream`, { token: closing.admin })
  await stream.nextOf('beat')
  await closing.app.close()
  await stream.rest()
})

t.test('the number of streams is limited, independent of other requests', async (t) => {
  const small = await createWorld(t, { limits: { streams: 1, management: 1 }, feed: { lifetimeMs } })
  const base = await small.app.listen({ host: '127.0.0.1', port: 0 })
  const open = () => openStream(t, `${base}/v1/revocations/stream`, { token: small.admin })
  const first = await open()
  await first.nextOf('beat')
  t.match((await open()).response, { status: 503 })
  t.match(await small.ask('GET', '/v1/self'), { status: 200 })
  first.leave()
  // Its slot is free as soon as the service has noticed.
  while ((await open()).response.status === 503);
})

t.test('a reader who does not read is disconnected', async (t) => {
  const cursor = { event: '00000001', position: 1 }
  let followers: Follower[] = []
  const follow = async (_after: unknown, follower: Follower) => {
    followers.push(follower)
    return () => {
      followers = []
    }
  }
  const tail = { follow, wake: () => {}, close: async () => {} }
  const stream = await openReadable(tail, {
    after: undefined,
    sees: () => true,
    present: () => ({}),
    readmit: async () => true,
  })
  const cut = once(stream, 'error')
  while (followers.length > 0 && !stream.destroyed) followers[0]?.reset(cursor)
  t.match(await cut, [{ message: /too slow/ }])
  t.same(followers, [])
})
