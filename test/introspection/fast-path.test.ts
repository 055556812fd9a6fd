// Common requests of resource servers are answered without Fastify, with the same responses that Fastify would send.
import { once } from 'node:events'
import { Agent, request as send } from 'node:http'
import { connect } from 'node:net'
import { text } from 'node:stream/consumers'
import fc from 'fast-check'
import t, { type Test } from 'tap'
import { Secret } from '../../src/shared/secret.ts'
import { createProxy } from '../support/proxy.ts'
import { createWorld, type World } from '../support/world.ts'

type Headers = [name: string, value: string][]
type Asked = { headers: Headers; body: string; path?: string }

const form: [string, string] = ['content-type', 'application/x-www-form-urlencoded']
/** These differ with every response, or depend on the connection. */
const apart = ['date', 'connection', 'keep-alive', 'x-request-id', 'content-length']

/** A listening Counterfoil that counts the requests that reach Fastify. */
async function createListening(t: Test, options: Parameters<typeof createWorld>[1]) {
  const world = await createWorld(t, { logLevel: 'info', ...options })
  let seen = 0
  world.app.addHook('onRequest', (_request, _reply, done) => {
    seen += 1
    done()
  })
  const { port } = new URL(await world.app.listen({ host: '127.0.0.1', port: 0 }))
  const agent = new Agent({ keepAlive: true })
  t.teardown(() => agent.destroy())

  async function post({ headers, body, path = '/introspect' }: Asked) {
    const before = seen
    const flat = [
      ['host', 'counterfoil.test'],
      ['content-length', String(Buffer.byteLength(body))],
      ...headers,
    ].flat()
    const request = send({ agent, port, path, method: 'POST', headers: flat })
    request.end(body)
    const [response] = await once(request, 'response')
    const answer = { status: response.statusCode, headers: response.headers, text: await text(response) }
    return { ...comparable(answer), direct: seen === before }
  }

  /** Injected, which always bypasses the fast path. */
  async function askFastify({ headers, body, path = '/introspect' }: Asked) {
    const response = await world.app.inject({
      method: 'POST',
      url: path,
      payload: body,
      headers: Object.fromEntries(headers),
    })
    return comparable({ status: response.statusCode, headers: response.headers, text: response.payload })
  }
  return Object.assign(world, { port: Number(port), post, askFastify })
}

function comparable({ status, headers, text }: { status: number; headers: object; text: string }) {
  const { request_id: _, ...body } = JSON.parse(text)
  t.match(new Map(Object.entries(headers)).get('x-request-id'), /^[0-9a-f-]{36}$/)
  const kept = Object.entries(headers).filter(([name]) => !apart.includes(name))
  return {
    status,
    headers: Object.fromEntries(kept.map(([name, value]) => [name, [value].flat().join(', ')])),
    body,
  }
}

async function population(world: World) {
  const server = await world.issue({
    name: 'Resource server',
    type: 'management',
    scopes: ['tokens:introspect'],
  })
  const good = await world.issue({
    name: 'Größe "7" 🎫',
    scopes: ['read'],
    owner: { subject: 'u-1', email: 'u@example.com' },
  })
  const revoked = await world.issue()
  await world.ask('POST', `/v1/organizations/default/tokens/${revoked.id}/revoke`)
  await world.ask('POST', '/v1/organizations', { body: { key: 'elsewhere', name: 'Elsewhere' } })
  const foreign = await world.issue({}, 'elsewhere')
  const reader = await world.manager(['tokens:read'])
  const basic = (id: string, secret: string) => `Basic ${Buffer.from(`${id}:${secret}`).toString('base64')}`
  const mistyped = `${good.secret.slice(0, -1)}${good.secret.endsWith('a') ? 'b' : 'a'}`
  const tokens = { good, revoked, foreign, mistyped: { secret: mistyped }, unknown: { secret: 'garbage' } }
  const callers = {
    bearer: `Bearer ${server.secret}`,
    'another case': `bearer  ${server.secret}`,
    basic: basic(server.id, server.secret),
    'the secret of another id': basic(good.id, server.secret),
    'without permission': `Bearer ${reader}`,
    revoked: `Bearer ${revoked.secret}`,
    'unknown scheme': `Digest ${server.secret}`,
    mistyped: `Bearer ${mistyped}`,
    nothing: 'Bearer ',
  }
  return { tokens, callers, server }
}

for (const [where, hot] of [
  ['from memory', {}],
  ['from the database', { cacheSize: 0 }],
] as const) {
  t.test(`${where}, the common request is answered without Fastify`, async (t) => {
    const world = await createListening(t, { hot })
    const { tokens, callers } = await population(world)
    for (const caller of [callers.bearer, callers.basic]) {
      for (const [name, { secret }] of Object.entries(tokens)) {
        const body = `token=${secret}`
        const { direct, ...answer } = await world.post({
          headers: [['authorization', caller], form],
          body,
        })
        t.ok(direct, name)
        t.same(answer, await world.askFastify({ headers: [['authorization', caller], form], body }))
        t.equal(answer.body.active, name === 'good')
      }
    }
    const { payload } = await world.app.inject('/metrics')
    t.match(
      payload,
      /http_request_duration_seconds_count\{method="POST",route="\/introspect",status="200"\} 20/,
    )
  })

  t.test(`${where}, every request gets the response that Fastify would send`, async (t) => {
    const world = await createListening(t, { hot })
    const { tokens, callers } = await population(world)
    const tokenOf = fc.constantFrom(...Object.values(tokens)).map(({ secret }) => secret)
    const body = fc.oneof(
      tokenOf.map((token) => `token=${token}`),
      tokenOf.map((token) => `token=${token}&token_type_hint=access_token`),
      tokenOf.map((token) => `token=${token}&token=${token}`),
      tokenOf.map((token) => `token=${token}&resource=x`),
      tokenOf.map((token) => `token=%${token.charCodeAt(0).toString(16)}${token.slice(1)}`),
      fc.constantFrom(
        '',
        'token=',
        'hint=x',
        `token=${'x'.repeat(8200)}`,
        `token=${'x'.repeat(70_000)}`,
        '{}',
      ),
      fc.string().map((text) => `token=${encodeURIComponent(text.toWellFormed())}`),
    )
    const accept = fc.constantFrom(
      '*/*',
      'application/json',
      'application/token-introspection+jwt;q=0',
      'application/json; charset=utf-8',
      'application/json;q=0',
      'text/html',
      '',
    )
    const type = fc.constantFrom(
      form[1],
      `${form[1]}; charset=utf-8`,
      `${form[1]};charset=UTF-8`,
      `${form[1]}; charset=latin1`,
      `${form[1]}\t;`,
      'application/json',
      'x',
    )
    const asked = fc.record({
      body,
      path: fc.constantFrom(
        '/introspect',
        '/introspect',
        '/introspect?',
        '/introspect?token=x',
        '/introspect/',
      ),
      headers: fc
        .tuple(
          fc.option(
            fc
              .constantFrom(...Object.values(callers))
              .map((value) => ['authorization', value] as [string, string]),
          ),
          fc.option(type.map((value) => ['Content-Type', value] as [string, string])),
          fc.option(accept.map((value) => ['accept', value] as [string, string])),
          fc.option(fc.constant(['origin', 'https://a.example'] as [string, string])),
          fc.option(
            fc
              .constantFrom('gzip', 'identity', '')
              .map((coding) => ['content-encoding', coding] as [string, string]),
          ),
        )
        .map((some) => some.filter((one) => one !== null)),
    })
    await fc.assert(
      fc.asyncProperty(asked, async (request) => {
        const { direct: _, ...answer } = await world.post(request)
        t.same(answer, await world.askFastify(request), JSON.stringify(request).slice(0, 300))
      }),
    )
  })
}

t.test('pipelined requests are answered in order, each for its own caller', async (t) => {
  for (const hot of [{}, { cacheSize: 0 }]) {
    const world = await createListening(t, { hot })
    const { tokens, callers } = await population(world)
    const asked: [caller: string, token: string, answer: string][] = [
      [callers.bearer, tokens.good.secret, '200 true'],
      [callers.bearer, tokens.revoked.secret, '200 false'],
      [callers['without permission'], tokens.good.secret, '401'],
      [callers.basic, tokens.good.secret, '200 true'],
      [callers['the secret of another id'], tokens.good.secret, '401'],
      [callers.bearer, tokens.good.secret, '200 true'],
    ]
    const requests = asked.map(([caller, token], index) =>
      [
        'POST /introspect HTTP/1.1',
        'host: counterfoil.test',
        `authorization: ${caller}`,
        'content-type: application/x-www-form-urlencoded',
        `content-length: ${6 + token.length}`,
        `connection: ${index + 1 < asked.length ? 'keep-alive' : 'close'}`,
        '',
        `token=${token}`,
      ].join('\r\n'),
    )
    const socket = connect({ host: '127.0.0.1', port: world.port })
    socket.write(requests.join(''))
    const heads = (await text(socket)).split('HTTP/1.1 ').slice(1)
    t.same(
      heads.map((answer) =>
        [answer.slice(0, 3), /"active":(true|false)/.exec(answer)?.[1]].filter(Boolean).join(' '),
      ),
      asked.map(([, , answer]) => answer),
    )
  }
})

t.test('two credentials are rejected, even if they are equal (RFC 6750 §2)', async (t) => {
  const world = await createListening(t, {})
  const { tokens, callers } = await population(world)
  const twice: Headers = [['authorization', callers.bearer], ['Authorization', callers.bearer], form]
  t.match(await world.post({ headers: twice, body: `token=${tokens.good.secret}` }), {
    status: 400,
    body: { error: 'invalid_request' },
  })
})

t.test('if every request is logged, Fastify answers them all', async (t) => {
  const world = await createListening(t, { logLevel: 'debug' })
  const { tokens, callers } = await population(world)
  const common = {
    headers: [['authorization', callers.bearer], form] as Headers,
    body: `token=${tokens.good.secret}`,
  }
  t.match(await world.post(common), { status: 200, direct: false, body: { active: true } })
})

t.test('requests beyond the limit are rejected at once with Retry-After', async (t) => {
  const world = await createListening(t, {
    hot: { cacheSize: 0 },
    limits: { introspection: 0, management: 10 },
  })
  const { tokens, callers } = await population(world)
  const common = {
    headers: [['authorization', callers.bearer], form] as Headers,
    body: `token=${tokens.good.secret}`,
  }
  t.match(await world.post(common), { status: 503, headers: { 'retry-after': '1' } })
})

t.test('beyond the limit, cached tokens are still answered, good or bad', async (t) => {
  const world = await createListening(t, { limits: { introspection: 0, management: 10 } })
  const { tokens, callers, server } = await population(world)
  const secrets = [server, ...Object.values(tokens)].map(({ secret }) => new Secret(secret))
  await world.credentials.verifyAll(secrets, new Date())
  const ask = (token: string) =>
    world.post({ headers: [['authorization', callers.bearer], form], body: `token=${token}` })
  for (const [name, { secret }] of Object.entries(tokens)) {
    const body = { active: name === 'good' }
    t.match(await ask(secret), { status: 200, direct: true, body }, name)
  }
  t.match(await ask('never-seen'), { status: 503 })
})

t.test('an unavailable database is queried once, for the caller and the token', async (t) => {
  const world = await createWorld(t)
  const { tokens, callers } = await population(world)
  const proxy = await createProxy(t, world.databaseUrl)
  const common = {
    headers: [['authorization', callers.bearer], form] as Headers,
    body: `token=${tokens.good.secret}`,
  }
  for (const [introspection, lookups] of [
    [10, 2],
    [0, 0],
  ] as const) {
    const limits = { introspection, management: 10 }
    const hot = { cacheSize: 0, databaseUrl: proxy.url }
    const { databaseUrl, signing } = world
    const cut = await createListening(t, { databaseUrl, signing, hot, limits })
    await proxy.close()
    t.match(await cut.post(common), { status: 503, body: { error: 'temporarily_unavailable' } })
    t.equal(cut.credentials.lookups(), lookups, `with room for ${introspection}`)
    await proxy.reopen()
  }
})

t.test('requests with two content types are passed to Fastify', async (t) => {
  const world = await createListening(t, {})
  const { tokens, callers } = await population(world)
  const headers: Headers = [['authorization', callers.bearer], ['content-type', 'application/json'], form]
  t.match(await world.post({ headers, body: `token=${tokens.good.secret}` }), { status: 415, direct: false })
})
