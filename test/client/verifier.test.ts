import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import { createVerifier } from '../../client/verifier.ts'
import { generateSecret } from '../../src/shared/secret.ts'
import { recordSecret } from '../support/records.ts'
import { startService, watchVerifier } from '../support/verifier.ts'
import { createWorld } from '../support/world.ts'

const world = await createWorld(t)
const { url, token, id: serverId } = await startService(world)
const long = { lifetime_days: 3650 }
const plain = { feed: false } as const

function unknown(): string {
  const secret = generateSecret('api').reveal()
  recordSecret(secret)
  return secret
}

t.test('a good token resolves to its introspection, the next time from the cache', async (t) => {
  const { verifier, asked } = watchVerifier(t, url, token, plain)
  const { id, secret } = await world.issue({ scopes: ['read'], ...long })
  const found = await verifier.verify(secret)
  t.match(found, { active: true, jti: id, scope: 'read', organization: 'default', type: 'api' })
  t.equal(await verifier.verify(secret), found)
  t.same(asked, [[secret]])
  t.throws(() => Object.assign(found, { scope: 'everything' }), 'which cannot be changed')
})

t.test('a token that is not good is invalid_token, without further details', async (t) => {
  const { verifier, outcome } = watchVerifier(t, url, token, plain)
  const revoked = await world.issue(long)
  await world.ask('POST', `/v1/organizations/default/tokens/${revoked.id}/revoke`)
  for (const secret of [unknown(), revoked.secret, 'garbage', 'x'.repeat(8193), ''])
    t.equal(await outcome(secret), 'invalid_token')
  const error = await verifier.verify(revoked.secret).catch((error) => error)
  t.notMatch(`${error.stack}${JSON.stringify(error)}`, revoked.secret)
})

t.test('scopes and audience are checked for every request', async (t) => {
  const { outcome, asked } = watchVerifier(t, url, token, plain)
  const audience = ['https://orders.example']
  await world.ask('POST', '/v1/token-types', { body: { name: 'orders', prefix: 'orders', audience } })
  const { id, secret } = await world.issue({ type: 'orders', scopes: ['read', 'write'], ...long })
  const { secret: forNobody } = await world.issue(long)
  t.equal(await outcome(secret, { scope: 'read write' }), id)
  t.equal(await outcome(secret, { scope: ['write'] }), id)
  t.equal(await outcome(secret, { scope: 'read admin' }), 'insufficient_scope')
  t.equal(await outcome(secret, { audience: audience[0] }), id)
  t.equal(await outcome(secret, { audience: ['x', ...audience] }), id)
  t.equal(await outcome(secret, { audience: 'https://other.example' }), 'invalid_token')
  t.equal(await outcome(forNobody, { audience: audience[0] }), 'invalid_token')
  t.equal(asked.length, 2)
})

t.test('a token is never accepted after its exp, whatever the service said', async (t) => {
  const { outcome } = watchVerifier(t, url, token, plain)
  // The clock of the service stands still on a day in the past.
  const { secret } = await world.issue({ lifetime_days: 1 })
  t.match(await world.introspect(secret), { active: true })
  t.equal(await outcome(secret), 'invalid_token')
})

t.test('tokens of one event-loop turn go out in one request, each once', async (t) => {
  const { verifier, asked } = watchVerifier(t, url, token, plain)
  const issued = await Promise.all(Array.from({ length: 5 }, () => world.issue(long)))
  const secrets = issued.map(({ secret }) => secret)
  const found = await Promise.all([...secrets, ...secrets].map((secret) => verifier.verify(secret)))
  t.same(
    found.map(({ jti }) => jti),
    [...issued, ...issued].map(({ id }) => id),
  )
  t.same(asked, [secrets])
})

t.test('more tokens than the service accepts at once go into several requests', async (t) => {
  const { outcome, asked } = watchVerifier(t, url, token, plain)
  const { id, secret } = await world.issue(long)
  const many = [...Array.from({ length: 1500 }, (_, i) => `eyJ${i}.`), secret]
  const outcomes = await Promise.all(many.map((token) => outcome(token)))
  t.same(
    asked.map(({ length }) => length),
    [1000, 501],
  )
  t.equal(outcomes.at(-1), id)
  const large = Array.from({ length: 500 }, (_, i) => `eyJ${i}.`.padEnd(8192, 'x'))
  t.same(new Set(await Promise.all(large.map((token) => outcome(token)))), new Set(['invalid_token']))
  t.equal(asked.length, 5)
})

t.test('the credential may be an OAuth client’s id and secret', async (t) => {
  const { id, secret } = await world.issue(long)
  const verifier = createVerifier({ url: `${url}/`, clientId: serverId, clientSecret: token, feed: false })
  t.teardown(() => verifier.close())
  t.match(await verifier.verify(secret), { jti: id })
})

t.test('unavailable: a rejected credential, an unreachable service, or a different service', async (t) => {
  const { secret } = await world.issue(long)
  const outcomeAt = (url: string, token: string) => watchVerifier(t, url, token, plain).outcome(secret)
  t.equal(await outcomeAt(url, unknown()), 'unavailable')
  t.equal(await outcomeAt('http://127.0.0.1:1', token), 'unavailable')
  for (const body of ['{}', '[', '{"results":[]}', '{"results":[{}]}', 'null']) {
    const other = createServer((_request, response) => response.end(body)).listen(0, '127.0.0.1')
    t.teardown(() => other.close())
    await new Promise((resolve) => other.once('listening', resolve))
    const { port } = other.address() as AddressInfo
    t.equal(await outcomeAt(`http://127.0.0.1:${port}`, token), 'unavailable', body)
  }
})

t.test('unavailable: a service that does not answer in time', async (t) => {
  const silent = createServer(() => {}).listen(0, '127.0.0.1')
  t.teardown(() => silent.closeAllConnections())
  t.teardown(() => silent.close())
  await new Promise((resolve) => silent.once('listening', resolve))
  const { port } = silent.address() as AddressInfo
  const { outcome } = watchVerifier(t, `http://127.0.0.1:${port}`, token, { ...plain, timeoutMs: 20 })
  t.equal(await outcome(unknown()), 'unavailable')
})

t.test('closing aborts pending requests and rejects new ones', async (t) => {
  const { verifier, outcome, hold } = watchVerifier(t, url, token)
  const held = hold()
  const pending = outcome(unknown())
  await held.asked
  verifier.close()
  held.release()
  t.equal(await pending, 'unavailable')
  const { secret } = await world.issue(long)
  t.equal(await outcome(secret), 'unavailable')
})
