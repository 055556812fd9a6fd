import { pbkdf2 } from 'node:crypto'
import { lookup } from 'node:dns/promises'
import { promisify } from 'node:util'
import t from 'tap'
import { createOutbound, maxCalls } from '../../src/outbound/outbound.ts'
import { addressesIn, createResolve } from '../../src/outbound/resolve.ts'
import { audience, startProvider } from '../issuers/provider.ts'
import { createTrustingWorld, trust } from '../issuers/trust.ts'
import { recordSecret } from '../support/records.ts'
import { serveNames } from './dns-server.ts'

const { signal } = new AbortController()
/** Names that are never answered. */
const silent = (count: number) =>
  Object.fromEntries(Array.from({ length: count }, (_, i) => [`silent-${i}.example`, null]))

t.test('a name is looked up in the hosts file, then in DNS', async (t) => {
  const { server, asked } = await serveNames(t, { 'login.example': '192.0.2.7' })
  const resolve = createResolve([server])
  t.same(await resolve('login.example', signal), [{ address: '192.0.2.7', family: 4 }])
  await t.rejects(resolve('nowhere.example', signal), { code: 'ENOTFOUND' })
  const localhost = await resolve('localhost', signal)
  t.ok(localhost.some(({ address }) => ['127.0.0.1', '::1'].includes(address)))
  t.notOk(asked.includes('localhost'))
})

t.test('hosts(5): names are case-insensitive and at any position, and comments are ignored', async (t) => {
  const hosts = [
    '# 192.0.2.1 comment.example',
    '127.0.0.1\tlocalhost',
    '  192.0.2.2   first.example  Second.Example # third.example',
    '192.0.2.3 second.example',
    '2001:db8::1 second.example',
    'nonsense second.example',
    '192.0.2.4',
    '',
  ].join('\n')
  const found = (name: string) => addressesIn(hosts, name).map(({ address }) => address)
  t.same(found('SECOND.example'), ['192.0.2.2', '192.0.2.3', '2001:db8::1'])
  t.same(found('first.example.'), ['192.0.2.2'])
  for (const name of ['third.example', 'comment.example', '192.0.2.4', 'example', ''])
    t.same(found(name), [], name)
})

t.test('names that never resolve occupy no threads, and lookups can be aborted', async (t) => {
  const names = silent(50)
  const { server, hasBeenAskedFor } = await serveNames(t, names)
  const resolve = createResolve([server])
  const patience = new AbortController()
  const pending = Object.keys(names).map((name) => resolve(name, patience.signal))
  let ended = 0
  for (const one of pending) one.catch(() => {}).finally(() => ended++)
  await hasBeenAskedFor(50)
  // Each of them takes one of the four threads.
  await Promise.all([lookup('localhost'), promisify(pbkdf2)('x', 'y', 1, 8, 'sha256')])
  t.equal(ended, 0, 'while all of them are being looked up')
  patience.abort()
  for (const one of pending) await t.rejects(one, { code: 'ECANCELLED' })
  await t.rejects(resolve('silent-0.example', patience.signal), { name: 'AbortError' })
})

t.test('a call to a name that never resolves times out', async (t) => {
  const { server } = await serveNames(t, silent(1))
  const limits = { timeoutMs: 50, maxBytes: 1000 }
  const { fetchJson } = createOutbound({ allow: [], limits, resolve: createResolve([server]) })
  await t.rejects(fetchJson('https://silent-0.example/', 'acme'), { message: 'does not respond in time' })
})

t.test("one organization's calls are limited and leave room for others", async (t) => {
  const { server, asked, hasBeenAskedFor } = await serveNames(t, {
    ...silent(maxCalls.ofOne),
    'other.example': null,
  })
  const outbound = createOutbound({
    allow: [],
    resolve: createResolve([server]),
    limits: { timeoutMs: 2000, maxBytes: 1000 },
  })
  const call = (name: string, organization: string) => outbound.fetchJson(`https://${name}/`, organization)
  const pending = Array.from({ length: maxCalls.ofOne }, (_, i) => call(`silent-${i}.example`, 'acme'))
  const allEnded = Promise.allSettled(pending)
  await hasBeenAskedFor(maxCalls.ofOne)
  await t.rejects(call('one-more.example', 'acme'), { message: /too many calls in progress/ })
  t.notOk(asked.includes('one-more.example'))
  const other = call('other.example', 'other')
  other.catch(() => {})
  await hasBeenAskedFor(maxCalls.ofOne + 1)
  t.ok(asked.includes('other.example'), 'of another organization')
  await allEnded
  await t.rejects(call('one-more.example', 'acme'), { message: 'cannot be reached' })
  t.ok(asked.includes('one-more.example'), 'and later its own')
  await t.rejects(other)
})

t.test('the calls of all organizations together are limited', async (t) => {
  const { server, hasBeenAskedFor } = await serveNames(t, silent(maxCalls.ofAll))
  const outbound = createOutbound({
    allow: [],
    resolve: createResolve([server]),
    limits: { timeoutMs: 2000, maxBytes: 1000 },
  })
  const pending = Array.from({ length: maxCalls.ofAll }, (_, i) =>
    outbound.fetchJson(`https://silent-${i}.example/`, `organization ${i}`),
  )
  const allEnded = Promise.allSettled(pending)
  await hasBeenAskedFor(maxCalls.ofAll)
  await t.rejects(outbound.fetchJson('https://more.example/', 'one more'), {
    message: /too many calls in progress/,
  })
  await allEnded
})

t.test(
  'issuers of one tenant whose names never resolve leave the sign-in of another tenant alone',
  async (t) => {
    const { server, hasBeenAskedFor } = await serveNames(t, silent(maxCalls.ofOne))
    const world = await createTrustingWorld(t, {
      outbound: { allow: ['127.0.0.1'], resolve: createResolve([server]) },
    })
    await world.ask('POST', '/v1/organizations', { body: { key: 'acme', name: 'Acme' } })
    const provider = await startProvider(t)
    const reader = { default_permissions: ['tokens:read'] }
    await trust(world, provider, reader)
    const exp = Math.floor(world.clock.now.getTime() / 1000) + 600
    const waiting = []
    for (let i = 0; i < maxCalls.ofOne; i++) {
      const iss = `https://silent-${i}.example`
      await trust(world, { issuer: iss }, reader, 'acme')
      const token = await provider.sign({ iss, aud: audience, sub: 'eve', exp })
      recordSecret(token)
      waiting.push(world.ask('GET', '/v1/organizations/acme/tokens', { token }))
    }
    let ended = 0
    for (const one of waiting) one.finally(() => ended++)
    await hasBeenAskedFor(maxCalls.ofOne)
    const token = await provider.sign({ iss: provider.issuer, aud: audience, sub: 'ada', exp })
    recordSecret(token)
    t.equal((await world.ask('GET', '/v1/organizations/default/tokens', { token })).status, 200)
    t.equal(ended, 0)
    for (const { status } of await Promise.all(waiting)) t.equal(status, 503)
  },
)
