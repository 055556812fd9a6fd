import { METHODS } from 'node:http'
import t from 'tap'
import { makeClient } from '../support/client.ts'
import { logLineOf } from '../support/records.ts'
import { createWorld } from '../support/world.ts'
import { operationsOf } from './contract.ts'
import { other, someLeak, someStatusList, someWebhook } from './matrix.ts'

const verification = { fields: [], trustedNetworks: ['127.0.0.1'] }
const world = await createWorld(t, { verification })
const operations = await operationsOf(world.app)
// Node.js does not produce a request for CONNECT.
const methods = METHODS.filter((name) => name !== 'CONNECT')
// A token that has every kind of sub-resource.
const { id: token } = await makeClient(world)
const list = await someStatusList(world)
await world.issue({ owner: other })
const concrete: Record<string, string> = {
  organization: 'default',
  type: 'api',
  code: 'not_found',
  token,
  list,
  subject: other.subject,
}
const userSchema = 'urn:ietf:params:scim:schemas:core:2.0:User'
const registration = { name: 'Sign-in', issuer: 'https://login.example', audience: 'counterfoil' }
const trusted = await world.ask('POST', '/v1/organizations/default/issuers', { body: registration })
concrete.issuer = trusted.body.id
await world.ask('PUT', `/v1/organizations/default/issuers/${trusted.body.id}/signals`, {
  body: { audience: 'https://tokens.example/ssf' },
})
concrete.leak = await someLeak(world)
Object.assign(concrete, await someWebhook(world))
const provisioned = await world.ask('POST', '/scim/v2/Users', { body: { userName: 'ada@example.com' } })
Object.assign(concrete, { user: provisioned.body.id, resourceType: 'User', schema: userSchema })
await world.sequencer.flush()
const urlOf = (path: string) => path.replace(/\{(\w+)\}/g, (_match, name) => concrete[name] ?? '')

t.test('RFC 9110 §15.5.6: an unsupported method is a 405 with Allow', async (t) => {
  // Gateways call /verify with the method of the original request.
  const named = operations.map(({ path }) => path).filter((path) => path !== '/verify')
  const paths = [...new Set(named), '/openapi.json']
  for (const path of paths) {
    const offered = operations.filter((operation) => operation.path === path).map(({ method }) => method)
    if (path === '/openapi.json') offered.push('GET')
    if (offered.includes('GET')) offered.push('HEAD')
    for (const method of methods.filter((name) => !offered.includes(name))) {
      const answer = await world.ask(method, urlOf(path))
      t.equal(answer.status, 405, `${method} ${path}`)
      t.same(answer.headers.allow?.split(', ').sort(), offered.sort(), `Allow of ${path}`)
      if (method === 'HEAD') continue
      const isProtocol = /^\/(introspect|revoke)/.test(path)
      const error = isProtocol
        ? { error: 'invalid_request', request_id: String }
        : /^\/scim\//.test(path)
          ? { status: '405' }
          : /^\/ssf\//.test(path)
            ? { err: 'method_not_allowed' }
            : { code: 'method_not_allowed' }
      t.match(answer.body, error, `${method} ${path}`)
      t.equal(answer.headers['x-content-type-options'], 'nosniff')
    }
  }
})

t.test('an unsupported method is a 405 whatever the body', async (t) => {
  for (const path of ['/introspect', '/v1/self', '/livez'])
    for (const headers of [
      { 'content-type': 'text/plain' },
      { 'content-type': 'application/json', 'content-encoding': 'gzip' },
    ])
      t.equal((await world.ask('PUT', path, { headers, body: '{' })).status, 405, path)
})

t.test('an unsupported method is logged with the route', async (t) => {
  const { status, headers } = await world.ask('PUT', '/v1/organizations/default/tokens')
  const logged = await logLineOf(String(headers['x-request-id']))
  const params = JSON.stringify({ organization: 'default' })
  t.match(logged, { status, method: 'PUT', route: '/v1/organizations/:organization/tokens', params })
})

t.test('gateways get the same response for every method', async (t) => {
  const { secret } = await world.issue()
  for (const method of methods)
    for (const url of ['/verify', '/verify/orders/7']) {
      t.equal((await world.ask(method, url, { token: secret })).status, 200, `${method} ${url}`)
      t.equal((await world.ask(method, url, { token: 'unknown' })).status, 401, `${method} ${url}`)
    }
})

t.test('a URL that cannot be decoded is a 400 like all others', async (t) => {
  const other = await world.ask('GET', '/v1/nowhere')
  for (const method of ['GET', 'POST', 'PROPFIND'])
    for (const url of ['/%zz', '/%', '/v1/organizations/%ff/tokens', '/v1/self/%c0%80', '/verify/%zz?x=y']) {
      const { status, headers, body } = await world.ask(method, url)
      t.match(body, { status: 400, code: 'invalid_request', detail: /percent-encoding/ }, `${method} ${url}`)
      t.equal(status, 400)
      t.equal(headers['x-request-id'], body.request_id)
      const logged = await logLineOf(body.request_id)
      t.match(logged, { status: 400, method }, 'it is logged')
      t.notMatch(JSON.stringify(logged), /%/, 'without the URL, where people put tokens')
      t.same(Object.keys(headers).sort(), Object.keys(other.headers).sort())
    }
})

t.test('RFC 9110 §9.3.2: HEAD answers like GET, without the body', async (t) => {
  for (const { path, id } of operations.filter(({ method }) => method === 'GET')) {
    const get = await world.ask('GET', urlOf(path))
    const head = await world.ask('HEAD', urlOf(path))
    t.match([get.status, head.status, head.text], [200, 200, ''], id)
    for (const name of ['content-type', 'etag', 'cache-control', 'content-security-policy']) {
      t.equal(head.headers[name], get.headers[name], `${name} of ${id}`)
    }
  }
})

t.test('RFC 9110 §15.5.16: a body of another media type is 415', async (t) => {
  for (const { path, method, id, body } of operations) {
    if (!body) continue
    const other = /json/.test(body.type) ? 'application/x-www-form-urlencoded' : 'application/json'
    for (const type of [other, 'text/plain', 'application/xml']) {
      const answer = await world.ask(method, urlOf(path), { headers: { 'content-type': type }, body: '{}' })
      t.equal(answer.status, 415, `${id}: ${type}`)
    }
  }
})

t.test('RFC 9110 §8.8.3: what has a version shows it as ETag, and a new one after a change', async (t) => {
  for (const url of [
    '/v1/organizations/default',
    '/v1/token-types/api',
    urlOf('/v1/organizations/default/tokens/{token}'),
  ]) {
    const before = await world.ask('GET', url)
    t.match(before.headers.etag, /^"\d+"$/)
    const [member, value] = /types/.test(url) ? ['description', 'Changed'] : ['name', 'Changed']
    const change = await world.ask('PATCH', url, { body: { [member ?? '']: value } })
    t.not(change.headers.etag, before.headers.etag)
    t.equal((await world.ask('GET', url)).headers.etag, change.headers.etag)
  }
})

t.test('CORS is off unless configured: pages of other origins cannot read responses', async (t) => {
  const headers = { origin: 'https://console.example' }
  const preflight = { ...headers, 'access-control-request-method': 'GET' }
  for (const answer of [
    await world.ask('GET', '/v1/token-types', { headers }),
    await world.ask('OPTIONS', '/v1/token-types', { token: '', headers: preflight }),
  ]) {
    t.same(
      Object.keys(answer.headers).filter((name) => name.startsWith('access-control-')),
      [],
    )
  }
})

t.test('with CORS_ORIGINS, only pages of these origins may call', async (t) => {
  const { ask } = await createWorld(t, { corsOrigins: ['https://console.example'] })
  const headers = { origin: 'https://console.example' }
  const asked = {
    'access-control-request-method': 'PATCH',
    'access-control-request-headers': 'authorization,if-match',
  }
  const preflight = await ask('OPTIONS', '/v1/token-types/api', {
    token: '',
    headers: { ...headers, ...asked },
  })
  t.equal(preflight.status, 204)
  t.equal(preflight.headers['access-control-allow-origin'], 'https://console.example')
  t.match(preflight.headers['access-control-allow-methods'], /PATCH/)
  t.match(preflight.headers['access-control-allow-headers'], /authorization/)
  t.match(preflight.headers.vary, /Origin/i)

  const answer = await ask('GET', '/v1/token-types', { headers })
  t.equal(answer.headers['access-control-allow-origin'], 'https://console.example')
  t.match(
    answer.headers['access-control-expose-headers'],
    /etag, link, location, www-authenticate, x-request-id/,
  )
  t.notOk(answer.headers['access-control-allow-credentials'], 'tokens are sent by hand, cookies never')

  const refused = await ask('GET', '/v1/token-types', { token: '', headers })
  t.equal(refused.status, 401)
  t.equal(
    refused.headers['access-control-allow-origin'],
    'https://console.example',
    'so that the page learns why',
  )

  const other = await ask('GET', '/v1/token-types', { headers: { origin: 'https://console.example.evil' } })
  t.equal(other.headers['access-control-allow-origin'], undefined)
})

t.test('every response has the security headers and nothing to render', async (t) => {
  for (const [method, url] of [
    ['GET', '/v1/token-types'],
    ['GET', '/v1/nowhere'],
    ['PUT', '/v1/token-types'],
    ['GET', '/livez'],
    ['GET', '/openapi.json'],
  ] as const) {
    const { headers } = await world.ask(method, url)
    t.equal(headers['content-security-policy'], "default-src 'none';frame-ancestors 'none'", url)
    t.equal(headers['x-content-type-options'], 'nosniff', url)
    t.match(headers['strict-transport-security'], /^max-age=\d{8}/, url)
    t.equal(headers['referrer-policy'], 'no-referrer', url)
    t.equal(headers['x-powered-by'], undefined)
    t.equal(headers.server, undefined)
  }
})

t.test(
  'responses for programs are not sniffed or stored, and do not reveal the server software',
  async (t) => {
    for (const url of ['/introspect', '/revoke']) {
      for (const token of [world.admin, '']) {
        const { headers } = await world.ask('POST', url, { token, form: { token: 'unknown' } })
        t.match(headers, { 'x-content-type-options': 'nosniff', 'cache-control': 'no-store' })
        t.equal(headers['x-powered-by'], undefined)
        t.equal(headers.server, undefined)
      }
    }
  },
)

t.test('RFC 9111 §5.2.2.5: responses about tokens are not cached', async (t) => {
  for (const [method, url] of [
    ['GET', '/v1/self'],
    ['GET', '/v1/organizations/default/tokens'],
    ['GET', '/v1/organizations/nowhere/tokens'],
    ['POST', '/introspect'],
    ['POST', '/revoke'],
  ] as const) {
    for (const token of [undefined, '']) {
      const { headers } = await world.ask(method, url, token === '' ? { token } : {})
      t.equal(headers['cache-control'], 'no-store', url)
    }
  }
})

t.test(
  'a request id is generated here, never taken from the caller, and appears in the change log',
  async (t) => {
    const headers = { 'x-request-id': 'mine', 'request-id': 'mine' }
    const first = await world.ask('GET', '/livez', { headers })
    const second = await world.ask('GET', '/livez', { headers })
    t.match(first.headers['x-request-id'], /^[0-9a-f-]{36}$/)
    t.not(first.headers['x-request-id'], second.headers['x-request-id'])

    const body = { name: 'Logged', type: 'api' }
    const made = await world.ask('POST', '/v1/organizations/default/tokens', { headers, body })
    const { items } = (
      await world.ask('GET', `/v1/organizations/default/audit-events?target=${made.body.id}`)
    ).body
    t.match(items, [{ action: 'token.created', request_id: made.headers['x-request-id'] }])
  },
)
