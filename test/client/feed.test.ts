import t from 'tap'
import { createProxy } from '../support/proxy.ts'
import { startService, watchVerifier } from '../support/verifier.ts'
import { createWorld } from '../support/world.ts'

const lifetimeMs = 10 * 60_000
const world = await createWorld(t, { feed: { lifetimeMs } })
const { url, token } = await startService(world)
const long = { lifetime_days: 3650 }
/** Long enough that only the feed can invalidate what is cached. */
const forLong = { ttlMs: 3_600_000 }
const revoke = (id: string) => world.ask('POST', `/v1/organizations/default/tokens/${id}/revoke`)

t.test('a cached token is rejected as soon as the feed reports its revocation', async (t) => {
  const { outcome, feed, told, asked } = watchVerifier(t, url, token, forLong)
  await feed('followed')
  const { id, secret } = await world.issue(long)
  const other = await world.issue(long)
  t.equal(await outcome(secret), id)
  t.equal(await outcome(other.secret), other.id)
  await revoke(id)
  t.match(await told(id), { reason: 'revoked' })
  t.equal(await outcome(secret), 'invalid_token')
  t.equal(await outcome(other.secret), other.id)
  t.equal(asked.length, 2, 'neither is asked for again')
})

t.test('cached tokens of a suspended organization or type are rejected', async (t) => {
  const { outcome, feed, told } = watchVerifier(t, url, token, forLong)
  await feed('followed')
  await world.ask('POST', '/v1/organizations', { body: { key: 'closing', name: 'Closing' } })
  await world.ask('POST', '/v1/token-types', { body: { name: 'ending', prefix: 'ending' } })
  const ofOrganization = await world.issue(long, 'closing')
  const ofType = await world.issue({ ...long, type: 'ending' })
  const staying = await world.issue(long)
  for (const { id, secret } of [ofOrganization, ofType, staying]) t.equal(await outcome(secret), id)
  await world.ask('POST', '/v1/organizations/closing/suspend')
  t.match(await told(null), { organization: 'closing' })
  t.equal(await outcome(ofOrganization.secret), 'invalid_token')
  t.equal(await outcome(ofType.secret), ofType.id)
  await world.ask('POST', '/v1/token-types/ending/suspend')
  // Reported after it, so when this one has arrived, the other one has too.
  await revoke(staying.id)
  await told(staying.id)
  t.equal(await outcome(ofType.secret), 'invalid_token')
})

t.test('an answer in flight while its token is revoked is not cached', async (t) => {
  const { outcome, feed, told, hold } = watchVerifier(t, url, token, forLong)
  await feed('followed')
  const { id, secret } = await world.issue(long)
  const held = hold()
  const before = outcome(secret)
  await held.asked
  await revoke(id)
  await told(id)
  held.release()
  t.equal(await before, id)
  t.equal(await outcome(secret), 'invalid_token')
})

t.test(
  'without the feed an answer is used for its TTL, and missed events arrive when it is back',
  async (t) => {
    const proxy = await createProxy(t, url)
    const ttlMs = 60_000
    const { outcome, feed, told, time, asked } = watchVerifier(t, url, token, {
      ttlMs,
      feedUrl: proxy.url.replace(/\/$/, ''),
    })
    await feed('followed')
    const revoked = [await world.issue(long), await world.issue(long)]
    const staying = await world.issue(long)
    for (const { id, secret } of [...revoked, staying]) t.equal(await outcome(secret), id)
    await proxy.close()
    await feed('lost')
    for (const { id } of revoked) await revoke(id)
    t.equal(await outcome(staying.secret), staying.id)
    t.equal(asked.length, 3, 'remembered still')
    time.advance(ttlMs)
    t.equal(await outcome(revoked[0].secret), 'invalid_token')
    t.equal(await outcome(staying.secret), staying.id)
    t.equal(asked.length, 5)
    await proxy.reopen()
    await feed('followed')
    for (const { id } of revoked) t.match(await told(id), { reason: 'revoked' })
  },
)

t.test(
  'while the feed is followed an answer outlives its TTL, until two seconds pass without a beat',
  async (t) => {
    // The time of the service and the verifier; the world's own clock does not matter here.
    let ms = 0
    const repeated = new Set<() => void>()
    const every = (_ms: number, run: () => void) => {
      repeated.add(run)
      return () => void repeated.delete(run)
    }
    const elapsed = () => ms
    const still = await createWorld(t, { feed: { lifetimeMs, elapsed, every } })
    const service = await startService(still)
    const { outcome, feed, asked } = watchVerifier(t, service.url, service.token, { ttlMs: 0, elapsed })
    await feed('followed')
    const { id, secret } = await still.issue(long)
    ms += 3_000
    for (const beat of repeated) beat()
    const isRemembered = async () => {
      const before = asked.length
      t.equal(await outcome(secret), id)
      return asked.length === before
    }
    // The beat is in flight; once it has arrived, the answer is cached.
    while (!(await isRemembered()));
    ms += 1_999
    t.equal(await isRemembered(), true)
    ms += 1
    t.equal(await isRemembered(), false)
  },
)
