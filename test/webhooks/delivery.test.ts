import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { createServer } from 'node:net'
import t from 'tap'
import { emit } from '../../src/events/events.ts'
import { tidyWebhooks } from '../../src/webhooks/tidy.ts'
import { hold, waitsForLock } from '../support/locks.ts'
import { createWorld, day } from '../support/world.ts'
import { startReceiver, verifies } from './receiver.ts'

const world = await createWorld(t, { outbound: { allow: ['127.0.0.1'] } })
const { ask, clock, dispatcher } = world
const collection = '/v1/organizations/default/webhooks'
const hour = 3_600_000
await dispatcher.flush()

async function register(url: string, events: string[] | null = ['token.created', 'token.revoked']) {
  await world.sql('delete from webhooks')
  const { body } = await ask('POST', collection, { body: { url, events } })
  return { ...body, item: `${collection}/${body.id}` }
}

const deliveriesOf = async (item: string, query = '') =>
  (await ask('GET', `${item}/deliveries${query}`)).body.items

/** Advances the clock to the next attempt of the newest delivery, and makes it. */
async function nextAttempt(item: string): Promise<number> {
  const [{ next_attempt_at }] = await deliveriesOf(item)
  const wait = Date.parse(next_attempt_at) - clock.now.getTime()
  clock.advance(wait)
  await dispatcher.flush()
  return wait
}

t.test('a delivery is listed with status, attempts and latency', async (t) => {
  const { item } = await register((await startReceiver(t)).url)
  await world.issue()
  t.match(await deliveriesOf(item), [], 'not yet taken out of the outbox')
  await dispatcher.flush()
  const [delivery] = await deliveriesOf(item)
  t.match(delivery, {
    type: 'token.created',
    status: 'delivered',
    attempts: 1,
    response_status: 204,
    next_attempt_at: null,
    error: null,
    attempted_at: clock.now.toISOString(),
    duration_ms: Number,
  })
})

t.test('failures are retried over a day, with the same webhook-id, then given up', async (t) => {
  const receiver = await startReceiver(t, (_message, response) => response.writeHead(500).end('no'))
  const { item, secret } = await register(receiver.url)
  await world.issue()
  await dispatcher.flush()
  const waits: number[] = []
  const schedule = [5, 30, 120, 300, 900, 1800, ...Array(12).fill(3600), ...Array(6).fill(2 * 3600)]
  for (const _ of schedule) waits.push(await nextAttempt(item))
  for (const [index, seconds] of schedule.entries()) {
    const wait = waits[index] ?? 0
    t.ok(wait >= seconds * 799 && wait <= seconds * 1201, `${wait} ms after attempt ${index + 1}`)
  }
  t.match(await deliveriesOf(item), [
    { status: 'failed', attempts: 25, next_attempt_at: null, error: 'responds with the status 500' },
  ])
  t.equal(receiver.messages.length, 25)
  t.equal(new Set(receiver.messages.map(({ headers }) => headers['webhook-id'])).size, 1)
  t.equal(new Set(receiver.messages.map(({ headers }) => headers['webhook-timestamp'])).size, 25)
  t.ok(receiver.messages.every((message) => verifies(message, secret)))
})

t.test('only a 2xx is a success', async (t) => {
  for (const [status, delivered] of [
    ...[200, 201, 202, 204].map((status) => [status, true] as const),
    ...[301, 302, 307, 400, 401, 404, 429, 500, 503].map((status) => [status, false] as const),
  ]) {
    const elsewhere = await startReceiver(t)
    const receiver = await startReceiver(t, (_message, response) =>
      response.writeHead(status, { location: elsewhere.url }).end(),
    )
    const { item } = await register(receiver.url)
    await world.issue()
    await dispatcher.flush()
    t.match(await deliveriesOf(item), [
      { status: delivered ? 'delivered' : 'pending', response_status: status },
    ])
    t.equal(elsewhere.messages.length, 0, 'a redirect is not followed')
  }
})

t.test('Retry-After can only make the wait longer, and at most a day', async (t) => {
  for (const [value, seconds] of [
    ['120', 120],
    ['0', 4],
    [new Date(clock.now.getTime() + 90_000).toUTCString(), 90],
    ['999999999', 24 * 3600],
    ['soon', 4],
  ] as const) {
    const receiver = await startReceiver(t, (_message, response) =>
      response.writeHead(503, { 'retry-after': value }).end(),
    )
    const { item } = await register(receiver.url)
    await world.issue()
    await dispatcher.flush()
    const wait = Date.parse((await deliveriesOf(item))[0].next_attempt_at) - clock.now.getTime()
    t.ok(wait >= seconds * 1000 - 1000 && wait <= Math.max(6_000, seconds * 1000), `${value}: ${wait} ms`)
  }
})

t.test('410 disables the webhook, which the change log says; unpausing enables it', async (t) => {
  let status = 410
  const receiver = await startReceiver(t, (_message, response) => response.writeHead(status).end())
  const { item } = await register(receiver.url)
  await world.issue()
  await dispatcher.flush()
  t.match((await ask('GET', item)).body, { status: 'disabled', disabled_reason: /410/ })
  const { body: log } = await ask('GET', '/v1/organizations/default/audit-events?action=webhook.disabled')
  t.match(log.items[0], { actor: { type: 'system' }, changes: { after: { reason: /410/ } } })
  await world.issue()
  clock.advance(day)
  await dispatcher.flush()
  t.equal(receiver.messages.length, 1, 'nothing is sent any more')
  t.match(await ask('POST', `${item}/test`), { status: 409, body: { code: 'suspended' } })
  status = 200
  t.match((await ask('PATCH', item, { body: { paused: false } })).body, { status: 'active' })
  await dispatcher.flush()
  t.same(receiver.types(), ['token.created', 'token.created', 'token.created'], 'nothing was lost')
})

t.test('a paused webhook waits', async (t) => {
  const receiver = await startReceiver(t)
  const { item } = await register(receiver.url)
  await ask('PATCH', item, { body: { paused: true } })
  await world.issue()
  await dispatcher.flush()
  t.equal(receiver.messages.length, 0)
  await ask('PATCH', item, { body: { paused: false } })
  await dispatcher.flush()
  t.equal(receiver.messages.length, 1)
})

t.test('a webhook that fails for five days is disabled, which is announced before', async (t) => {
  const bad = await startReceiver(t, (_message, response) => response.writeHead(500).end())
  const { item, id } = await register(bad.url, ['token.created'])
  const good = await startReceiver(t)
  await ask('POST', collection, { body: { url: good.url, events: ['webhook.failing', 'webhook.disabled'] } })
  // Many failures in a short time do nothing.
  for (let n = 0; n < 30; n += 1) await world.issue()
  await dispatcher.flush()
  t.match((await ask('GET', item)).body, { status: 'failing', failing_since: clock.now.toISOString() })
  t.same(good.types(), [])
  const since = clock.now
  for (let n = 0; n < 6; n += 1) {
    clock.advance(day)
    await world.issue()
    await dispatcher.flush()
    await dispatcher.flush()
  }
  t.match((await ask('GET', item)).body, { status: 'disabled', disabled_reason: /five days/ })
  t.same(good.types(), ['webhook.failing', 'webhook.disabled'])
  t.match(good.messages[0]?.body.data, {
    webhook: { id, origin: bad.url },
    failing_since: since.toISOString(),
    disabled_at: new Date(since.getTime() + 5 * day).toISOString(),
  })
})

t.test('a success in between starts the five days again', async (t) => {
  let status = 500
  const receiver = await startReceiver(t, (_message, response) => response.writeHead(status).end())
  const { item } = await register(receiver.url)
  for (let n = 0; n < 8; n += 1) {
    status = n === 3 ? 200 : 500
    await world.issue()
    await dispatcher.flush()
    clock.advance(day)
  }
  t.match((await ask('GET', item)).body, { status: 'failing' })
})

t.test('a failing delivery holds back the later ones of its token, and no others', async (t) => {
  let working = false
  const blocked = await world.issue({ name: 'Blocked' })
  await dispatcher.flush()
  const receiver = await startReceiver(t, ({ body }, response) =>
    response.writeHead(working || body.data.token.id !== blocked.id ? 200 : 500).end(),
  )
  const { item } = await register(receiver.url, ['token.rotated', 'token.revoked', 'token.created'])
  const path = '/v1/organizations/default/tokens'
  await ask('POST', `${path}/${blocked.id}/rotate`, { body: {} })
  await ask('POST', `${path}/${blocked.id}/revoke`)
  const other = await world.issue({ name: 'Other' })
  await ask('POST', `${path}/${other.id}/revoke`)
  await dispatcher.flush()
  const seen = () => receiver.messages.map(({ body }) => `${body.data.token.name} ${body.type}`)
  t.same(seen().sort(), ['Blocked token.rotated', 'Other token.created', 'Other token.revoked'])
  working = true
  receiver.messages.length = 0
  clock.advance(hour)
  await dispatcher.flush()
  t.same(seen(), ['Blocked token.rotated', 'Blocked token.revoked'], 'in their order')
  t.ok((await deliveriesOf(item)).every(({ status }: any) => status === 'delivered'))
})

t.test('a delivery can be repeated, and so can those of a period', async (t) => {
  let status = 200
  const receiver = await startReceiver(t, (_message, response) => response.writeHead(status).end())
  const { item } = await register(receiver.url)
  const since = clock.now.toISOString()
  await world.issue()
  clock.advance(hour)
  const later = clock.now.toISOString()
  await world.issue()
  await dispatcher.flush()
  const [, first] = await deliveriesOf(item)
  t.match(await ask('POST', `${item}/deliveries/${first.id}/replay`), {
    status: 202,
    body: { id: first.id, status: 'pending', attempts: 0 },
  })
  await dispatcher.flush()
  t.equal(receiver.messages.length, 3)
  t.equal(receiver.messages[2]?.headers['webhook-id'], first.id)

  const replay = (body: object) => ask('POST', `${item}/replay`, { body })
  t.match(await replay({ since }), { status: 202, body: { replayed: 0, more: false } }, 'nothing has failed')
  t.match(await replay({ since, status: 'all' }), { body: { replayed: 2 } })
  t.match(await replay({ since: later, status: 'delivered' }), { body: { replayed: 0 } }, 'they are pending')
  status = 500
  await dispatcher.flush()
  for (let pending = await deliveriesOf(item); pending.length > 0; ) {
    clock.now = new Date(Math.max(...pending.map((one: any) => Date.parse(one.next_attempt_at))))
    await dispatcher.flush()
    pending = await deliveriesOf(item, '?status=pending')
  }
  t.equal((await deliveriesOf(item, '?status=failed')).length, 2)
  t.match(await replay({ since, until: later }), { body: { replayed: 1 } })
  status = 200
  await dispatcher.flush()
  t.equal((await deliveriesOf(item, '?status=failed')).length, 1)
  t.match(await replay({ since: later, until: since }), {
    status: 422,
    body: { errors: [{ field: 'until' }] },
  })
  const none = `${item}/deliveries/019aa0c4-7c1e-7d43-9f53-0b8f1d2b3c4d/replay`
  t.match(await ask('POST', none), { status: 404 })
})

t.test('deliveries come in pages, newest first', async (t) => {
  const { item } = await register((await startReceiver(t)).url)
  for (let n = 0; n < 5; n += 1) await world.issue()
  await dispatcher.flush()
  const ids: string[] = []
  let cursor = ''
  do {
    const { body } = await ask('GET', `${item}/deliveries?limit=2${cursor}`)
    ids.push(...body.items.map(({ id }: any) => id))
    cursor = body.next_cursor ? `&cursor=${body.next_cursor}` : ''
  } while (cursor)
  t.equal(ids.length, 5)
  t.same(
    ids,
    (await deliveriesOf(item)).map(({ id }: any) => id),
  )
  t.equal((await ask('GET', `${item}/deliveries?status=unknown`)).status, 400)
})

t.test('a test event goes to its webhook whatever that subscribes to', async (t) => {
  const receiver = await startReceiver(t)
  const { item, id } = await register(receiver.url, ['token.leaked'])
  const { body: delivery } = await ask('POST', `${item}/test`)
  await dispatcher.flush()
  t.match(receiver.messages, [
    { headers: { 'webhook-id': delivery.id }, body: { type: 'webhook.test', data: { webhook: { id } } } },
  ])
})

t.test('a receiver that cannot be reached, breaks off or floods is a failure, or not', async (t) => {
  const unheard = createServer()
  unheard.listen(0, '127.0.0.1')
  await once(unheard, 'listening')
  const { port } = unheard.address() as AddressInfo
  unheard.close()
  const { item } = await register(`http://127.0.0.1:${port}`)
  await world.issue()
  await dispatcher.flush()
  t.match(await deliveriesOf(item), [
    { status: 'pending', error: 'cannot be reached', response_status: null },
  ])

  const breaking = await startReceiver(t, (_message, response) => response.destroy())
  const { item: broken } = await register(breaking.url)
  await world.issue()
  await dispatcher.flush()
  t.match(await deliveriesOf(broken), [{ status: 'pending', error: 'cannot be reached' }])

  const flooding = await startReceiver(t, (_message, response) => {
    response.writeHead(200)
    const pour = () => {
      while (!response.destroyed && response.write('x'.repeat(65_536)));
    }
    response.on('drain', pour)
    pour()
  })
  const { item: flooded } = await register(flooding.url)
  await world.issue()
  await dispatcher.flush()
  t.match(await deliveriesOf(flooded), [{ status: 'delivered' }], 'its body is not read to the end')
})

t.test(
  'an address inside the network is not called, even if it was registered when it was allowed',
  async (t) => {
    const receiver = await startReceiver(t)
    const { item } = await register(receiver.url)
    const guarded = await createWorld(t, { databaseUrl: world.databaseUrl, signing: world.signing })
    guarded.clock.now = clock.now
    await world.issue()
    await guarded.dispatcher.flush()
    t.equal(receiver.messages.length, 0)
    t.match(await deliveriesOf(item), [{ status: 'pending', error: /https/ }])
  },
)

t.test('what an instance left behind when it was killed, another one attempts later', async (t) => {
  const receiver = await startReceiver(t)
  const { item } = await register(receiver.url)
  await world.issue()
  // An instance that is killed has claimed the delivery, which the claim of this one does.
  const dead = await createWorld(t, {
    databaseUrl: world.databaseUrl,
    signing: world.signing,
    outbound: { allow: ['127.0.0.1'] },
  })
  dead.clock.now = clock.now
  const held = Promise.withResolvers<void>()
  const reached = Promise.withResolvers<void>()
  const slow = await startReceiver(t, async (_message, response) => {
    reached.resolve()
    await held.promise
    response.writeHead(500).end()
  })
  await ask('PATCH', item, { body: { url: slow.url } })
  const dying = dead.dispatcher.flush()
  await reached.promise
  await ask('PATCH', item, { body: { url: receiver.url } })
  await dispatcher.flush()
  t.equal(receiver.messages.length, 0, 'its claim still holds')
  clock.advance(61_000)
  await dispatcher.flush()
  t.equal(receiver.messages.length, 1)
  t.equal(receiver.messages[0]?.headers['webhook-id'], slow.messages[0]?.headers['webhook-id'])
  held.resolve()
  await dying
  t.match(
    await deliveriesOf(item),
    [{ status: 'delivered', attempts: 1 }],
    'the late failure changes nothing',
  )
})

t.test('closing ends attempts in progress, which do not count', async (t) => {
  const reached = Promise.withResolvers<void>()
  const receiver = await startReceiver(t, () => reached.resolve())
  const { item } = await register(receiver.url)
  await world.issue()
  const other = await createWorld(t, {
    databaseUrl: world.databaseUrl,
    signing: world.signing,
    outbound: { allow: ['127.0.0.1'] },
  })
  other.clock.now = clock.now
  const flushed = other.dispatcher.flush()
  await reached.promise
  await other.dispatcher.close()
  await flushed
  t.match(await deliveriesOf(item), [
    { status: 'pending', attempts: 0, next_attempt_at: clock.now.toISOString() },
  ])
})

t.test('deliveries are kept for 30 days', async (t) => {
  const { item } = await register((await startReceiver(t)).url)
  await world.issue()
  await dispatcher.flush()
  clock.advance(30 * day - 1)
  await tidyWebhooks(world.db, clock.now)
  t.equal((await deliveriesOf(item)).length, 1)
  clock.advance(2)
  await tidyWebhooks(world.db, clock.now)
  t.equal((await deliveriesOf(item)).length, 0)
})

t.test('a request that changes a webhook does not collide with its first failure', async (t) => {
  const { item, id } = await register('http://127.0.0.1:9', ['token.created'])
  await ask('PATCH', item, { body: { paused: true } })
  await world.issue()
  await dispatcher.flush()
  await ask('PATCH', item, { body: { paused: false } })
  const request = await hold(t, world, `select from webhooks where id = '${id}' for update`)
  const flushing = dispatcher.flush()
  await waitsForLock(world, '%"webhooks"%')
  await request.query(`update deliveries set next_attempt_at = now() where webhook_id = '${id}'; commit`)
  await flushing
  t.match(await deliveriesOf(item), [{ attempts: 1, error: 'cannot be reached' }])
  t.match((await ask('GET', item)).body, { status: 'failing' })
})

t.test('many events reach many webhooks at once', async (t) => {
  await register('http://127.0.0.1:9', ['token.created'])
  for (let n = 1; n < 20; n += 1)
    await ask('POST', collection, { body: { url: `http://127.0.0.1:9/${n}`, events: ['token.created'] } })
  await world.sql('update webhooks set paused_at = now()')
  const { id: organizationId } = (await ask('GET', '/v1/organizations/default')).body
  const event = { organizationId, occurredAt: clock.now, data: { name: 'One of many' } }
  const subjects = Array.from({ length: 500 }, () => randomUUID())
  await emit(
    world.db,
    subjects.map((subject) => ({ type: 'token.created', ...event, subject })),
  )
  await dispatcher.flush()
  const { rows } = await world.sql(
    `select array_agg(subject order by position) as subjects from deliveries group by webhook_id`,
  )
  t.equal(rows.length, 20)
  for (const row of rows) t.same(row.subjects, subjects, 'all of them, in their order')
})

t.test('one dead endpoint keeps no other waiting', async (t) => {
  const held = Promise.withResolvers<void>()
  t.teardown(() => held.resolve())
  const dead = await startReceiver(t, async (_message, response) => {
    await held.promise
    response.writeHead(500).end()
  })
  const delivered = Promise.withResolvers<void>()
  const good = await startReceiver(t, (_message, response, n) => {
    response.writeHead(200).end()
    if (n === 150) delivered.resolve()
  })
  await register(dead.url)
  await ask('POST', collection, { body: { url: good.url, events: ['token.created'] } })
  for (let n = 0; n < 150; n += 1) await world.issue()
  const flushing = dispatcher.flush()
  await delivered.promise
  t.equal(dead.messages.length, 10, 'it has its ten slots')
  held.resolve()
  await flushing
})
