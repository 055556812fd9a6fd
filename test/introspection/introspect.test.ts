import t from 'tap'
import { createWorld, issuer } from '../support/world.ts'

const world = await createWorld(t)
const { ask, issue, manager, clock } = world
const seconds = (iso: string) => Math.floor(Date.parse(iso) / 1000)
const basic = (id: string, secret: string) => {
  const encode = (text: string) => new URLSearchParams({ text }).toString().slice('text='.length)
  return `Basic ${Buffer.from(`${encode(id)}:${encode(secret)}`).toString('base64')}`
}

t.test('RFC 7662 §2.2: a good token is active, with its facts', async (t) => {
  const owner = { subject: 'u-9', email: 'u9@example.org' }
  const token = await issue({
    name: 'Connector',
    scopes: ['um:read', 'um:write'],
    audience: ['https://a.example', 'https://b.example'],
    owner,
    lifetime_days: 30,
    not_before: clock.now.toISOString(),
  })
  const answer = await ask('POST', '/introspect', { form: { token: token.secret } })
  t.match(answer, {
    status: 200,
    headers: { 'content-type': /^application\/json/, 'cache-control': 'no-store' },
  })
  t.same(answer.body, {
    active: true,
    scope: 'um:read um:write',
    client_id: token.id,
    username: 'u9@example.org',
    token_type: 'Bearer',
    exp: seconds(token.expires_at),
    iat: seconds(token.created_at),
    nbf: seconds(token.not_before),
    sub: 'u-9',
    aud: ['https://a.example', 'https://b.example'],
    iss: issuer,
    jti: token.id,
    organization: 'default',
    type: 'api',
    token_name: 'Connector',
  })
})

t.test('a token of a service has its own id as subject', async (t) => {
  const { id, secret } = await issue()
  t.match(await world.introspect(secret), { active: true, sub: id })
})

t.test('RFC 7662 §2.2: a token that is not good is only inactive', async (t) => {
  const { secret } = await issue()
  const last = secret.at(-1) === 'a' ? 'b' : 'a'
  for (const token of [
    'x',
    secret.slice(0, -1) + last,
    `${secret} `,
    'eyJhbGciOiJub25lIn0.e30.',
    `api_${'0'.repeat(30)}0uvSQt`,
  ]) {
    t.same(await world.introspect(token), { active: false }, token)
  }
})

t.test('RFC 7662 §2.1: the caller authenticates by HTTP Basic or by Bearer', async (t) => {
  const server = await issue({ name: 'Resource server', type: 'management', scopes: ['tokens:introspect'] })
  const { secret } = await issue()
  const call = (authorization: string) =>
    ask('POST', '/introspect', { token: '', headers: { authorization }, form: { token: secret } })
  for (const good of [
    `Bearer ${server.secret}`,
    basic(server.id, server.secret),
    basic(server.id, server.secret).replace('Basic', 'basic'),
  ]) {
    t.match((await call(good)).body, { active: true }, good.slice(0, 6))
  }
  const other = await issue({ type: 'management', scopes: ['tokens:introspect'] })
  for (const bad of [
    basic(other.id, server.secret),
    basic('', server.secret),
    basic(server.id, ''),
    'Basic !!!',
    'Basic',
    '',
  ]) {
    const answer = await call(bad)
    t.match(answer, { status: 401, body: { error: 'invalid_client' } }, bad.slice(0, 12))
    t.match(String(answer.headers['www-authenticate']), /Basic realm="counterfoil"/)
  }
})

t.test('RFC 7662 §2.3: a caller without credentials is challenged', async (t) => {
  const answer = await ask('POST', '/introspect', { token: '', form: { token: 'x' } })
  t.match(answer, { status: 401, body: { error: 'invalid_client' } })
  t.same(answer.headers['www-authenticate'], [
    'Bearer realm="counterfoil"',
    'Basic realm="counterfoil", charset="UTF-8"',
  ])
})

t.test('RFC 7662 §2.1: the request has one non-empty token, form-encoded', async (t) => {
  const post = (content: string, type = 'application/x-www-form-urlencoded') =>
    ask('POST', '/introspect', { headers: { 'content-type': type }, body: content })
  t.match(await post(''), { status: 400, body: { error: 'invalid_request' } })
  t.match(await post('token='), { status: 400 })
  t.match(await post('token=a&token=b'), {
    status: 400,
    body: { error_description: 'token is given more than once' },
  })
  t.match(await post('token=a&x=1&x=2'), { status: 400 }, 'RFC 6749 §3.2: no parameter more than once')
  t.match(await post(`token=${'x'.repeat(8193)}`), { status: 400 })
  t.match(await post(`token=${'x'.repeat(70_000)}`), { status: 413 })
  t.match(await post('{"token":"a"}', 'application/json'), {
    status: 415,
    body: { error: 'invalid_request' },
  })
  t.match(await post('token=a&token_type_hint=refresh_token&unknown=1'), {
    status: 200,
    body: { active: false },
  })
})

t.test('RFC 9110 §15.5.6: another method than POST is 405 with Allow', async (t) => {
  for (const url of ['/introspect', '/revoke']) {
    for (const method of ['GET', 'PUT', 'PATCH', 'DELETE']) {
      t.match(await ask(method, url), { status: 405, headers: { allow: 'POST' } }, `${method} ${url}`)
    }
  }
})

t.test('a token that is issued right after it was introspected works at once', async (t) => {
  const { generateSecret } = await import('../../src/shared/secret.ts')
  const unknown = generateSecret('api').reveal()
  t.same(await world.introspect(unknown), { active: false })
  const { secret } = await issue()
  t.match(await world.introspect(secret), { active: true })
})

t.test('RFC 7009 §2.2: revoking is a 200 without a body, also for an unknown token', async (t) => {
  const { secret } = await issue()
  const writer = await manager(['tokens:write'])
  for (const token of [secret, secret, 'unknown', `api_${'0'.repeat(36)}`]) {
    t.match(await ask('POST', '/revoke', { token: writer, form: { token } }), { status: 200, text: '' })
  }
  t.same(await world.introspect(secret), { active: false })
})

t.test('RFC 7009 §2.1: a caller without permission is told so, and the token stays good', async (t) => {
  const { secret } = await issue()
  const reader = await manager(['tokens:read', 'tokens:introspect'])
  const answer = await ask('POST', '/revoke', { token: reader, form: { token: secret } })
  t.match(answer, { status: 403, body: { error: 'insufficient_scope' } })
  t.match(answer.headers['www-authenticate'], /scope="tokens:write"/)
  t.match(await world.introspect(secret), { active: true })
})
