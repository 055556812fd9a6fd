import t from 'tap'
import { generateSecret } from '../../src/shared/secret.ts'
import { createProxy } from '../support/proxy.ts'
import { recordSecret } from '../support/records.ts'
import { createWorld } from '../support/world.ts'

const world = await createWorld(t)
const introspect = (body: unknown, more: object = {}) =>
  world.ask('POST', '/introspect/batch', { body, ...more })

function unknown(): string {
  const secret = generateSecret('api').reveal()
  recordSecret(secret)
  return secret
}

t.test('RFC 7662 §2.2: a batch returns the introspection of each token, in order', async (t) => {
  const good = await world.issue({ scopes: ['read'] })
  const revoked = await world.issue()
  await world.ask('POST', `/v1/organizations/default/tokens/${revoked.id}/revoke`)
  const tokens = [good.secret, unknown(), revoked.secret, 'garbage \0 \ud800', good.secret]
  const answer = await introspect({ tokens })
  t.equal(answer.status, 200)
  t.equal(answer.headers['cache-control'], 'no-store')
  const one = await world.introspect(good.secret)
  t.match(one, { active: true, scope: 'read' })
  const inactive = { active: false }
  t.same(answer.body, { results: [one, inactive, inactive, inactive, one] })
})

t.test('a thousand tokens are looked up in one statement, and the next time in none', async (t) => {
  const proxy = await createProxy(t, world.databaseUrl)
  const leased = Promise.withResolvers<boolean>()
  // The clock stands still: once acquired, the lease cannot be lost because the machine is busy.
  const elapsed = () => 0
  const hot = { databaseUrl: proxy.url, cacheSize: 20_000, onLease: leased.resolve, elapsed }
  const far = await createWorld(t, { databaseUrl: world.databaseUrl, signing: world.signing, hot })
  await leased.promise
  const tokens = Array.from({ length: 1000 }, unknown)
  const { secret } = await world.issue()
  tokens[500] = secret
  tokens[999] = tokens[998] ?? ''
  await far.ask('POST', '/introspect', { token: world.admin, form: { token: secret } })
  const before = far.credentials.lookups()
  // How PostgreSQL's protocol names a prepared statement to run.
  const statements = () => proxy.sent('\0credentials\0')
  const sent = statements()
  const ask = () => far.ask('POST', '/introspect/batch', { token: world.admin, body: { tokens } })
  const first = await ask()
  t.equal(first.body.results.length, 1000)
  t.match(first.body.results[500], { active: true })
  t.equal(far.credentials.lookups() - before, 998, 'one was in memory, and one came twice')
  t.equal(statements() - sent, 1)
  t.same((await ask()).body, first.body)
  t.equal(statements() - sent, 1)
})

t.test('RFC 7662 §2.1: callers authenticate with Bearer or Basic, before the body is read', async (t) => {
  const { id, secret } = await world.issue({ type: 'management', scopes: ['tokens:introspect'] })
  const body = { tokens: [secret] }
  const authorization = `Basic ${Buffer.from(`${id}:${secret}`).toString('base64')}`
  t.match(await introspect(body, { token: '', headers: { authorization } }), { status: 200 })
  t.match(await introspect('{', { token: '' }), { status: 401, body: { error: 'invalid_client' } })
  t.match(await introspect(body, { token: (await world.issue()).secret }), {
    status: 401,
    body: { error: 'insufficient_scope' },
  })
})

t.test('RFC 6749 §5.2: errors say what is wrong and never contain a token', async (t) => {
  const secret = unknown()
  const wrong = {
    'no tokens': { tokens: [] },
    'too many': { tokens: Array.from({ length: 1001 }, () => 'x') },
    'an empty one': { tokens: [secret, ''] },
    'one that is too long': { tokens: [secret, `${secret}${'x'.repeat(8192)}`] },
    'something else': { tokens: [{ [secret]: secret }] },
    'a single one': { tokens: secret },
    'another name': { [secret]: secret },
    'not JSON': `{"tokens":["${secret}"`,
  }
  for (const [what, body] of Object.entries(wrong)) {
    const answer = await introspect(body)
    t.match(answer, { status: 400, body: { error: 'invalid_request' } }, what)
    t.notMatch(answer.text, secret, what)
  }
  t.match(await introspect('x'.repeat(2 * 1024 * 1024 + 1)), { status: 413 })
  const form = { token: secret }
  t.match(await world.ask('POST', '/introspect/batch', { form }), { status: 415 })
})

t.test('a thousand JWTs of two kilobytes fit', async (t) => {
  const tokens = Array.from({ length: 1000 }, (_, i) => `eyJ${i}.`.padEnd(2048, 'x'))
  t.match(await introspect({ tokens }), { status: 200 })
})

t.test('without a cache, batches of foreign tokens are answered too', async (t) => {
  const forgetful = await createWorld(t, { hot: { cacheSize: 0 } })
  const { secret } = await forgetful.issue()
  const mistyped = `${secret.slice(0, -1)}${secret.endsWith('a') ? 'b' : 'a'}`
  const answer = await forgetful.ask('POST', '/introspect/batch', { body: { tokens: [mistyped] } })
  t.match(answer, { status: 200, body: { results: [{ active: false }] } })
})
