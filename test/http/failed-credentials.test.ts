import t, { type Test } from 'tap'
import { makeClient, withAssertion } from '../support/client.ts'
import { recordedLines } from '../support/records.ts'
import { type Ask, createWorld, type World } from '../support/world.ts'

const limit = 3
const windowSeconds = 60

async function createLimited(t: Test, failureLimit: object = {}) {
  let elapsed = 0
  const world = await createWorld(t, {
    trustProxy: ['127.0.0.1'],
    failureLimit: { limit, windowSeconds, elapsed: () => elapsed, ...failureLimit },
  })
  return Object.assign(world, {
    pass(ms: number) {
      elapsed += ms
    },
  })
}

const from = (ip: string) => ({ 'x-forwarded-for': ip })
const basic = (id: string, secret: string) => `Basic ${Buffer.from(`${id}:${secret}`).toString('base64')}`
const garbage = { token: '', form: { token: 'x' } }

const ask = async (world: World, method: string, url: string, ip: string, more: Ask) =>
  world.ask(method, url, { ...more, headers: { ...from(ip), ...more.headers } })

/** Each way to present a bad credential. */
const bad: Record<string, (world: World, ip: string) => Promise<any>> = {
  'a bearer at /introspect': (world, ip) =>
    ask(world, 'POST', '/introspect', ip, { token: 'bad', form: { token: 'x' } }),
  'a client at /introspect': (world, ip) =>
    ask(world, 'POST', '/introspect', ip, { ...garbage, headers: { authorization: basic('me', 'bad') } }),
  'a client assertion at /introspect': (world, ip) =>
    ask(world, 'POST', '/introspect', ip, { token: '', form: { token: 'x', ...withAssertion('bad') } }),
  'a bearer at /introspect/batch': (world, ip) =>
    ask(world, 'POST', '/introspect/batch', ip, { token: 'bad', body: { tokens: ['x'] } }),
  'a bearer at /revoke': (world, ip) =>
    ask(world, 'POST', '/revoke', ip, { token: 'bad', form: { token: 'x' } }),
  'a gateway at /verify': (world, ip) =>
    ask(world, 'GET', '/verify', ip, { token: 'x', headers: { 'x-counterfoil-gateway': 'bad' } }),
  'a bearer at the management API': (world, ip) => ask(world, 'GET', '/v1/self', ip, { token: 'bad' }),
  'a bearer at the stream': (world, ip) => ask(world, 'GET', '/v1/revocations/stream', ip, { token: 'bad' }),
}

for (const [what, fail] of Object.entries(bad)) {
  t.test(`an address is throttled after too many failures: ${what}`, async (t) => {
    const world = await createLimited(t)
    const here = '192.0.2.1'
    for (let i = 0; i < limit; i++) t.equal((await fail(world, here)).status, 401)
    world.pass(1_500)
    const slowed = await fail(world, here)
    t.match(slowed, { status: 429, headers: { 'retry-after': '59' } })
    t.match(
      slowed.body,
      slowed.body.code ? { code: 'too_many_requests' } : { error: 'temporarily_unavailable' },
    )
    // A gateway is identified by its connection, which is always the same here.
    if (what !== 'a gateway at /verify')
      t.match(await fail(world, '192.0.2.2'), { status: 401 }, 'another address is not concerned')
    const good = await world.ask('POST', '/introspect', { form: { token: 'x' }, headers: from(here) })
    t.match(good, { status: 200 }, 'nor is a good credential from the same address')
    world.pass(windowSeconds * 1000)
    t.match(await fail(world, here), { status: 401 }, 'nor is anybody once the time is over')
  })
}

t.test('a good credential that is not cached is not throttled either', async (t) => {
  const world = await createLimited(t)
  const client = await makeClient(world)
  const fresh = await world.manager(['tokens:introspect'])
  for (let i = 0; i <= limit; i++) await bad['a bearer at /introspect']?.(world, '127.0.0.1')
  t.match(await world.ask('POST', '/introspect', { token: fresh, form: { token: 'x' } }), { status: 200 })
  t.match(await client.introspect('x', withAssertion(await client.sign())), { status: 200 })
  t.match(await world.ask('GET', '/v1/self', { token: fresh }), { status: 200 })
  t.match(await bad['a bearer at /introspect']?.(world, '127.0.0.1'), { status: 429 })
})

t.test('introspected tokens do not count as failures', async (t) => {
  const world = await createLimited(t)
  const gateway = await world.manager(['tokens:introspect'])
  for (let i = 0; i <= 2 * limit; i++) {
    await world.introspect(`unknown-${i}`)
    await world.ask('POST', '/revoke', { form: { token: `unknown-${i}` } })
    const headers = { 'x-counterfoil-gateway': gateway }
    t.match(await world.ask('GET', '/verify', { token: `unknown-${i}`, headers }), { status: 401 })
    t.match(await world.ask('GET', '/v1/self', { token: '' }), { status: 401 }, 'nor does showing none')
  }
  t.match(await world.ask('GET', '/v1/self', { token: 'bad' }), { status: 401 })
})

t.test('IPv6 addresses of one /64 network count as one', async (t) => {
  const world = await createLimited(t)
  const fail = (ip: string) => ask(world, 'GET', '/v1/self', ip, { token: 'bad' })
  for (let i = 0; i < limit; i++) t.match(await fail(`2001:db8::${i + 1}:1`), { status: 401 })
  t.match(await fail('2001:db8::ffff'), { status: 429 })
  t.match(await fail('2001:db8:0:1::1'), { status: 401 })
})

t.test('with a limit of 0 no address is throttled', async (t) => {
  const world = await createLimited(t, { limit: 0 })
  for (let i = 0; i < 10; i++) t.match(await world.ask('GET', '/v1/self', { token: 'bad' }), { status: 401 })
})

t.test('failures are counted, and a sample of them is logged', async (t) => {
  const world = await createLimited(t)
  const route = '/introspect'
  const logged = () => recordedLines('198.51.100.9', 'callers failed')
  for (let i = 0; i < limit + 2; i++) await bad['a bearer at /introspect']?.(world, '198.51.100.9')
  t.equal(logged().length, 1)
  world.pass(1_000)
  await bad['a bearer at /introspect']?.(world, '198.51.100.9')
  const lines = logged().map((line) => JSON.parse(line))
  t.match(lines, [{ count: 1 }, { count: limit + 2, route, code: 'invalid_token', address: '198.51.100.9' }])
  const { payload } = await world.app.inject('/metrics')
  for (const [throttled, count] of [
    ['false', limit],
    ['true', 3],
  ])
    t.match(
      payload,
      `counterfoil_failed_credentials_total{route="${route}",throttled="${throttled}"} ${count}\n`,
    )
})
