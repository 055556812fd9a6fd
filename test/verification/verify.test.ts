import t from 'tap'
import { lookUp } from '../../src/introspection/introspect.ts'
import { platformId } from '../../src/shared/platform.ts'
import { Secret } from '../../src/shared/secret.ts'
import { createTime } from '../support/credentials.ts'
import { createWorld, day } from '../support/world.ts'

const verification = { fields: ['x-deploy-personal-token'], trustedNetworks: [] }
const world = await createWorld(t, { verification })
const { issue, manager, clock } = world
const gateway = await manager(['tokens:introspect'], 'platform')
const scopes = ['read', 'write']
const token = await issue({ scopes, audience: ['https://a.example'] })
const bearer = (secret: string) => ({ authorization: `Bearer ${secret}` })
const basic = (user: string, password: string) => ({
  authorization: `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`,
})

function ask(headers: Record<string, string>, url = '/verify', method = 'GET', as = gateway) {
  return world.ask(method, url, { token: '', headers: { 'x-counterfoil-gateway': as, ...headers } })
}

t.test('a good token passes, with its identity', async (t) => {
  const owner = { subject: 'u-9' }
  const { id, secret, expires_at } = await issue({ name: 'Report', scopes, owner, lifetime_days: 3 })
  const answer = await ask(bearer(secret))
  t.match(answer, { status: 200, text: '', headers: { 'cache-control': 'no-store' } })
  t.match(answer.headers, {
    'x-token-id': id,
    'x-token-subject': 'u-9',
    'x-token-organization': 'default',
    'x-token-scope': 'read write',
    'x-token-type': 'api',
    'x-token-name': 'Report',
    'x-token-expires-at': expires_at,
  })
  const plain = await issue({ scopes: [], expires_at: null })
  t.match((await ask(bearer(plain.secret))).headers, {
    'x-token-subject': plain.id,
    'x-token-scope': '',
    'x-token-expires-at': 'never',
  })
})

t.test('all methods get the same response, at /verify and below', async (t) => {
  for (const url of ['/verify', '/verify/', '/verify/orders/7?page=2&scope=admin'])
    for (const method of ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']) {
      const good = await ask(bearer(token.secret), url, method)
      t.match(good, { status: 200, text: '', headers: { 'x-token-id': token.id } }, `${method} ${url}`)
      t.equal((await ask(bearer('unknown'), url, method)).status, 401, `${method} ${url}`)
    }
})

t.test('the token is read from Bearer, from Basic as the password, and from configured fields', async (t) => {
  const { secret } = token
  for (const headers of [
    bearer(secret),
    basic('', secret),
    basic('anybody', secret),
    { 'x-deploy-personal-token': secret },
  ])
    t.equal((await ask(headers)).status, 200, JSON.stringify(Object.keys(headers)))
  t.equal((await ask({ 'x-other-token': secret })).status, 401)
})

t.test('RFC 6750 §3.1: without a token there is a challenge and no error, for Basic too', async (t) => {
  const answer = await ask({})
  t.match(answer, { status: 401, body: { code: 'unauthenticated' } })
  const challenge = [answer.headers['www-authenticate']].flat()
  t.same(challenge, ['Bearer realm="counterfoil"', 'Basic realm="counterfoil", charset="UTF-8"'])
})

t.test('RFC 6750 §3.1: a token that is not good is a 401 without a reason', async (t) => {
  const soon = new Date(clock.now.getTime() + day).toISOString()
  const late = new Date(clock.now.getTime() + 9 * day).toISOString()
  const expired = await issue({ expires_at: soon })
  const early = await issue({ not_before: late })
  const revoked = await issue()
  const item = '/v1/organizations/default/tokens'
  await world.ask('POST', `${item}/${revoked.id}/revoke`)
  clock.advance(2 * day)
  const bodies = new Set<string>()
  for (const secret of [
    expired.secret,
    early.secret,
    revoked.secret,
    'garbage',
    `${token.secret.slice(0, -1)}~`,
  ]) {
    const answer = await ask(bearer(secret))
    t.equal(answer.status, 401)
    t.match(answer.headers['www-authenticate'], /^Bearer realm="counterfoil", error="invalid_token"/)
    bodies.add(JSON.stringify({ ...answer.body, request_id: '' }))
  }
  t.equal(bodies.size, 1, 'they all look alike')
  t.match((await ask(basic('me', revoked.secret))).headers['www-authenticate'], /^Basic realm=/)
})

t.test('a revocation takes effect with the next request', async (t) => {
  const { id, secret } = await issue()
  t.equal((await ask(bearer(secret))).status, 200)
  await world.ask('POST', `/v1/organizations/default/tokens/${id}/revoke`)
  t.equal((await ask(bearer(secret))).status, 401)
})

t.test('RFC 6750 §3.1: insufficient scope is a 403 that says what is required and missing', async (t) => {
  const { secret } = await issue({ scopes: ['read'] })
  const answer = await ask(bearer(secret), '/verify?scope=read+write+admin')
  t.match(answer, {
    status: 403,
    body: { code: 'insufficient_scope', detail: 'The token lacks the scope write admin.' },
  })
  t.match(answer.headers['www-authenticate'], /error="insufficient_scope", .*, scope="read write admin"$/)
  t.equal((await ask(bearer(secret), '/verify?scope=read')).status, 200)
  t.equal((await ask(bearer(token.secret), '/verify?scope=write%20read')).status, 200)
})

t.test('a token for another audience, type or organization counts as no token', async (t) => {
  for (const [query, status] of [
    ['audience=https%3A%2F%2Fa.example', 200],
    ['audience=https%3A%2F%2Fb.example', 401],
    ['type=api', 200],
    ['type=scim+api', 200],
    ['type=scim', 401],
    ['organization=default', 200],
    ['organization=other+default', 200],
    ['organization=other', 401],
    ['organization=other&scope=nothing', 401],
    ['organization=default&type=api&scope=read&audience=https%3A%2F%2Fa.example', 200],
  ] as const) {
    t.equal((await ask(bearer(token.secret), `/verify?${query}`)).status, status, query)
    const headers = { ...bearer(token.secret), 'x-counterfoil-require': query }
    t.equal((await ask(headers, '/verify/orders')).status, status, `below /verify: ${query}`)
  }
})

t.test('an invalid requirement is a 400, so that it is never half applied', async (t) => {
  for (const [field, query] of [
    ['scopes', 'scopes=read'],
    ['scope', 'scope=read&scope=write'],
    ['scope', 'scope='],
    ['scope', 'scope=a"b'],
    ['scope', 'scope=read++write'],
    ['type', 'type='],
    ['type', 'type=+'],
    ['audience', 'audience='],
    ['audience', 'audience=a&audience=b'],
    ['organization', 'organization='],
  ] as const) {
    const answer = await ask(bearer(token.secret), `/verify?${query}`)
    t.match(answer, { status: 400, body: { errors: [{ in: 'query', field }] } }, query)
    const headers = { ...bearer(token.secret), 'x-counterfoil-require': query }
    t.match(
      await ask(headers, '/verify/orders'),
      { status: 400, body: { errors: [{ in: 'header', field: 'x-counterfoil-require' }] } },
      query,
    )
  }
})

t.test('below /verify/ the query belongs to the original request and is no requirement', async (t) => {
  const { secret } = await issue({ scopes: [] })
  t.equal((await ask(bearer(secret), '/verify/orders?scope=admin&anything=1')).status, 200)
  const headers = { ...bearer(secret), 'x-counterfoil-require': 'scope=admin' }
  t.equal((await ask(headers, '/verify/orders?scope=')).status, 403)
  t.equal((await ask(headers, '/verify')).status, 200, 'where the query counts the field does not')
})

t.test('uses are recorded', async (t) => {
  const { id, secret } = await issue()
  await ask(bearer(secret))
  await world.usage.flush()
  const { body } = await world.ask('GET', `/v1/organizations/default/tokens/${id}`)
  t.equal(body.last_used_at, clock.now.toISOString())
})

t.test('responses are counted by outcome', async (t) => {
  const counted = await createWorld(t)
  const as = await counted.manager(['tokens:introspect'])
  const { secret } = await counted.issue({ scopes: ['read'] })
  const call = (token: string, query = '', gateway = as) =>
    counted.ask('GET', `/verify${query}`, { token, headers: { 'x-counterfoil-gateway': gateway } })
  for (const request of [
    [secret],
    [secret],
    ['x'],
    [''],
    [secret, '?scope=write'],
    [secret, '?x=1'],
    [secret, '', 'x'],
  ])
    await call(...(request as [string]))
  const { text } = await counted.ask('GET', '/metrics')
  for (const [outcome, times] of Object.entries({
    allowed: 2,
    refused: 2,
    insufficient_scope: 1,
    gateway_refused: 1,
    failed: 1,
  }))
    t.match(text, `counterfoil_verifications_total{outcome="${outcome}"} ${times}`)
})

t.test('cached tokens are answered without waiting', async (t) => {
  const held = Promise.withResolvers<void>()
  const { credentials, usage, issue } = await createWorld(t, {
    hot: { ...createTime(), onLease: () => held.resolve() },
  })
  await held.promise
  const { id, secret: text } = await issue({ allowed_cidrs: ['192.0.2.0/24'] })
  // Wait for the notification, which removes it from the cache.
  await credentials.settled()
  const everything = { organizationId: platformId, narrowedTo: null }
  const ask = (ip: string) =>
    lookUp(credentials, usage, everything, { secret: new Secret(text), now: clock.now, ip })
  t.match(await ask('192.0.2.1'), { tokenId: id })
  const answer = ask('192.0.2.1')
  t.notOk(answer instanceof Promise)
  t.match(answer, { tokenId: id })
  t.equal(ask('198.51.100.1'), undefined)
})
