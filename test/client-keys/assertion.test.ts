import { createHmac, generateKeyPairSync } from 'node:crypto'
import { exportSPKI, importJWK } from 'jose'
import t from 'tap'
import { assertionType, makeClient, withAssertion } from '../support/client.ts'
import { createWorld, day, issuer } from '../support/world.ts'

const world = await createWorld(t)
const client = await makeClient(world)
const other = await makeClient(world)
const rsa = await makeClient(world, { alg: 'RS256' })
const { id, sign, introspect } = client
const token = (await world.issue({ scopes: ['read'] })).secret
const now = Math.floor(world.clock.now.getTime() / 1000)

const authenticate = async (assertion: string) => introspect(token, withAssertion(assertion))
const refusal = { status: 401, body: { error: 'invalid_client' } }
const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url')

for (const alg of ['EdDSA', 'Ed25519', 'ES256', 'RS256', 'PS256']) {
  t.test(`RFC 7523 §3: a client that signs with ${alg} introspects and revokes`, async (t) => {
    const { sign, introspect } = await makeClient(world, { alg })
    const { secret } = await world.issue()
    t.match(await introspect(secret, withAssertion(await sign())), { status: 200, body: { active: true } })
    const form = { token: secret, ...withAssertion(await sign()) }
    t.equal((await world.ask('POST', '/revoke', { token: '', form })).status, 200)
    t.same((await introspect(secret, withAssertion(await sign()))).body, { active: false })
  })
}

t.test('authentication is recorded as a use of the token', async (t) => {
  await authenticate(await sign())
  await world.usage.flush()
  const { body } = await world.ask('GET', `/v1/organizations/default/tokens/${id}`)
  t.equal(body.last_used_at, world.clock.now.toISOString())
})

const good: Record<string, () => Promise<string>> = {
  'the issuer as aud': () => sign({ aud: issuer }),
  'the issuer alone in a list': () => sign({ aud: [issuer] }),
  'the URL of the endpoint as aud': () => sign({ aud: `${issuer}/introspect` }),
  'typ JWT': () => sign({}, { typ: 'JWT' }),
  'typ client-authentication+jwt': () => sign({}, { typ: 'client-authentication+jwt' }),
  'RFC 7515 §4.1.9: a typ in full': () => sign({}, { typ: 'application/client-authentication+jwt' }),
  'no iat': () => sign({ iat: undefined }),
  'no kid, where there is one key': () => sign({}, { kid: undefined }),
  'the latest exp there is': () => sign({ exp: now + 330 }),
  'an exp just over, by a clock that is behind': () => sign({ exp: now - 29 }),
  'an iat and nbf to come, by a clock that is ahead': () => sign({ iat: now + 30, nbf: now + 30 }),
}
for (const [name, make] of Object.entries(good)) {
  t.test(`good: ${name}`, async (t) => {
    t.match(await authenticate(await make()), { status: 200, body: { active: true } })
  })
}

const hmac = (key: string | Buffer, header: object) => {
  const payload = { iss: rsa.id, sub: rsa.id, aud: issuer, exp: now + 60, jti: 'hmac' }
  const input = `${encode({ alg: 'HS256', ...header })}.${encode(payload)}`
  return `${input}.${createHmac('sha256', key).update(input).digest('base64url')}`
}
const attacker = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const attackerKey = attacker.privateKey as unknown as CryptoKey
const jwk = attacker.publicKey.export({ format: 'jwk' })
const publicRsa = (await importJWK(rsa.publicJwk, 'RS256')) as CryptoKey

const attacks: Record<string, () => Promise<string> | string> = {
  'RFC 8725 §2.1: alg none': async () => {
    const [, body] = (await sign()).split('.')
    return `${encode({ alg: 'none' })}.${body}.`
  },
  'alg none with a signature': async () => {
    const [, body, signature] = (await sign()).split('.')
    return `${encode({ alg: 'none', kid: 'one' })}.${body}.${signature}`
  },
  'RFC 8725 §2.1: HS256 with the public key in PEM': async () =>
    hmac(await exportSPKI(publicRsa), { kid: 'one' }),
  'HS256 with the modulus': () => hmac(String(rsa.publicJwk.n), { kid: 'one' }),
  'HS256 with the secret of the token (client_secret_jwt)': () => hmac(rsa.secret, {}),
  'an algorithm that is not allowed': async () => (await makeClient(world, { alg: 'RS512' })).sign(),
  'RFC 7515 §4.1.3: an embedded jwk': () => sign({}, { jwk }, attackerKey),
  'RFC 7515 §4.1.2: a jku': () => sign({}, { jku: 'https://evil.example/jwks.json' }, attackerKey),
  'RFC 7515 §4.1.5: an x5u': () => sign({}, { x5u: 'https://evil.example/chain.pem' }, attackerKey),
  "an attacker's key under the client's kid": () => sign({}, {}, attackerKey),
  "another client's key": () => sign({}, {}, other.privateKey),
  'a kid that is not registered': () => sign({}, { kid: 'two' }),
  'RFC 7515 §4.1.11: an unknown critical extension': () => sign({}, { crit: ['x'], x: 1 }),
  'RFC 8725 §3.11: the typ of an access token': () => sign({}, { typ: 'at+jwt' }),
  'a typ that is no text': () => sign({}, { typ: 7 }),
  'the typ of a signed introspection': () => sign({}, { typ: 'token-introspection+jwt' }),
  expired: () => sign({ exp: now - 30 }),
  'no exp': () => sign({ exp: undefined }),
  'an exp too far away': () => sign({ exp: now + 331 }),
  'an endless exp': () => sign({ exp: 1e300 }),
  'an iat to come': () => sign({ iat: now + 31 }),
  'an nbf to come': () => sign({ nbf: now + 31 }),
  'no jti': () => sign({ jti: undefined }),
  'an empty jti': () => sign({ jti: '' }),
  'a jti without end': () => sign({ jti: 'x'.repeat(256) }),
  'a jti that is no text': () => sign({ jti: 7 }),
  'no aud': () => sign({ aud: undefined }),
  'the aud of another service': () => sign({ aud: 'https://other.example' }),
  'the issuer among others as aud': () => sign({ aud: [issuer, 'https://other.example'] }),
  'the URL of another endpoint as aud': () => sign({ aud: `${issuer}/revoke` }),
  'no iss': () => sign({ iss: undefined }),
  'another iss than sub': () => sign({ iss: other.id }),
  'another sub than iss': () => sign({ sub: other.id }),
  "another client's name": () => sign({ iss: other.id, sub: other.id }),
  'the id of a client in capitals': () => sign({ iss: id.toUpperCase(), sub: id.toUpperCase() }),
  'a client that is not there': () => sign({ iss: 'nobody', sub: 'nobody' }),
  'an iss that is SQL': () => sign({ iss: "' or '1'='1" }),
  'an iss that is no text': () => sign({ iss: { $ne: 1 } }),
  'the id of AUTH_SECRET or of nothing': () => sign({ iss: '019aa0c4-7c1e-7d43-9f53-0b8f1d2b3c4d' }),
  'a signature cut short': async () => (await sign()).slice(0, -4),
  'claims changed afterwards': async () => {
    const [head, , signature] = (await sign()).split('.')
    return `${head}.${encode({ iss: id, sub: id, aud: issuer, exp: now + 300, jti: 'changed' })}.${signature}`
  },
  'an encrypted JWT': () => `${encode({ alg: 'dir', enc: 'A256GCM' })}..x.x.x`,
  'no JWT': () => 'x',
  nothing: () => '',
  'only dots': () => '..',
}
for (const [attack, make] of Object.entries(attacks)) {
  t.test(`refused: ${attack}`, async (t) => {
    const answer = await authenticate(await make())
    t.match(answer, refusal)
    t.same(Object.keys(answer.body).sort(), ['error', 'error_description', 'request_id'])
    t.match([answer.headers['www-authenticate']].flat().join(), /^Bearer realm="counterfoil"/)
  })
}

t.test('RFC 7523 §3: an assertion is valid once, across all endpoints and instances', async (t) => {
  const second = await createWorld(t, { databaseUrl: world.databaseUrl, signing: world.signing })
  const assertion = await sign()
  const form = { token, ...withAssertion(assertion) }
  t.equal((await authenticate(assertion)).status, 200)
  for (const [where, url] of [
    [world, '/introspect'],
    [world, '/revoke'],
    [second, '/introspect'],
  ] as const) {
    const answer = await where.ask('POST', url, { token: '', form })
    t.match(answer, { ...refusal, body: { error_description: /used before/ } })
  }
})

t.test('of concurrent uses of an assertion, exactly one succeeds', async (t) => {
  const second = await createWorld(t, { databaseUrl: world.databaseUrl, signing: world.signing })
  const form = { token, ...withAssertion(await sign()) }
  const asks = [world, second, world, second, world, second]
  const answers = await Promise.all(asks.map((one) => one.ask('POST', '/introspect', { token: '', form })))
  t.same(answers.map(({ status }) => status).sort(), [200, 401, 401, 401, 401, 401])
})

t.test('two clients may use the same jti', async (t) => {
  for (const { sign, introspect } of [client, other])
    t.equal((await introspect(token, withAssertion(await sign({ jti: 'same' })))).status, 200)
})

t.test('an assertion rejected for another reason is not used up', async (t) => {
  const jti = 'tried'
  t.match(await authenticate(await sign({ jti, aud: 'https://other.example' })), refusal)
  t.equal((await authenticate(await sign({ jti }))).status, 200)
})

t.test('RFC 7521 §4.2: client_id is optional and must match the assertion', async (t) => {
  const ask = async (client_id: string) => introspect(token, { client_id, ...withAssertion(await sign()) })
  t.equal((await ask(id)).status, 200)
  t.match(await ask(other.id), refusal)
})

t.test(
  'RFC 6749 §2.3: two authentication methods in one request are rejected, even if both are valid',
  async (t) => {
    const basic = (text: string) => `Basic ${Buffer.from(text).toString('base64')}`
    const ask = async (authorization: string) => {
      const form = { token, ...withAssertion(await sign()) }
      return world.ask('POST', '/introspect', { token: '', headers: { authorization }, form })
    }
    for (const good of [`Bearer ${client.secret}`, basic(`${id}:${client.secret}`)])
      t.match(await ask(good), { status: 400, body: { error: 'invalid_request' } }, good.slice(0, 6))
    for (const bad of ['Bearer unknown', basic('x:x'), 'Basic', ''])
      t.match(await ask(bad), { status: 401 }, bad)
    for (const hidden of ['client%5Fassertion=x', 'client_assertion_type=x', 'client_assertion='])
      t.match(
        await world.ask('POST', '/introspect', { token: client.secret, form: `token=x&${hidden}` }),
        { status: 400, body: { error: 'invalid_request' } },
        hidden,
      )
  },
)

t.test('RFC 7521 §4.2: both parameters are required, once each, with the supported type', async (t) => {
  const assertion = await sign()
  const post = (form: string) => world.ask('POST', '/introspect', { token: '', form: `token=x&${form}` })
  t.match(await post(`client_assertion=${assertion}`), { status: 400, body: { error: 'invalid_request' } })
  t.match(await post(`client_assertion_type=${assertionType}`), { status: 400 })
  const saml = 'urn:ietf:params:oauth:client-assertion-type:saml2-bearer'
  t.match(await post(`client_assertion_type=${saml}&client_assertion=${assertion}`), refusal)
  const twice = `client_assertion_type=${assertionType}&client_assertion=x&client_assertion=${assertion}`
  t.match(await post(twice), { status: 400 })
  t.equal((await authenticate(assertion)).status, 200, 'none of which used it up')
})

t.test('a request without any credential is a 401, and only forms are read', async (t) => {
  for (const form of ['', 'token=x', 'x=1', `client_id=${id}`]) {
    const answer = await world.ask('POST', '/introspect', { token: '', form })
    t.match(answer, refusal, form)
    t.match([answer.headers['www-authenticate']].flat().join(), /Bearer.*Basic/)
  }
  const body = JSON.stringify({ token, ...withAssertion(await sign()) })
  t.match(await world.ask('POST', '/introspect', { token: '', body }), refusal)
  const headers = { 'content-type': 'text/plain' }
  t.match(await world.ask('POST', '/introspect', { token: '', body: 'token=x', headers }), refusal)
})

t.test('a body that is too large is not read to the end', async (t) => {
  const form = { token, ...withAssertion('x'.repeat(70_000)) }
  t.equal((await world.ask('POST', '/introspect', { token: '', form })).status, 413)
})

t.test('assertions are not accepted under /v1', async (t) => {
  const form = withAssertion(await sign())
  t.equal((await world.ask('POST', '/v1/self/revoke', { token: '', form })).status, 401)
})

t.test('a client is rejected as soon as its token is no longer good', async (t) => {
  const items = '/v1/organizations/default/tokens'
  const ends: Record<string, (id: string) => Promise<unknown>> = {
    revoked: (id) => world.ask('POST', `${items}/${id}/revoke`),
    'revoked by hand': (id) => world.sql('update tokens set revoked_at = now() where id = $1', [id]),
    expired: (id) => world.sql("update tokens set expires_at = '2026-01-01' where id = $1", [id]),
    'not yet valid': (id) => world.sql("update tokens set not_before = '2030-01-01' where id = $1", [id]),
    deleted: (id) => world.ask('DELETE', `${items}/${id}`),
    'without its keys': (id) => world.ask('DELETE', `${items}/${id}/client-keys`),
  }
  for (const [how, end] of Object.entries(ends)) {
    const { id, sign, introspect } = await makeClient(world)
    t.equal((await introspect(token, withAssertion(await sign()))).status, 200, how)
    await end(id)
    t.match(await introspect(token, withAssertion(await sign())), refusal, how)
  }
})

t.test('a client of a suspended organization is rejected until it is resumed', async (t) => {
  const suspended = await createWorld(t)
  const { sign, introspect } = await makeClient(suspended)
  const ask = async () => (await introspect('x', withAssertion(await sign()))).status
  await suspended.ask('POST', '/v1/organizations/default/suspend')
  t.equal(await ask(), 401)
  await suspended.ask('POST', '/v1/organizations/default/resume')
  t.equal(await ask(), 200)
})

t.test('the key identifies the caller, and the token determines its permissions', async (t) => {
  const reader = await makeClient(world, { scopes: ['tokens:read'] })
  const answer = await reader.introspect(token, withAssertion(await reader.sign()))
  t.match(answer, { status: 401, body: { error: 'insufficient_scope' } })
})

t.test('a replaced key is no longer valid', async (t) => {
  const { sign, introspect, keysUrl } = await makeClient(world)
  await world.ask('PUT', keysUrl, { body: { jwks: { keys: [other.publicJwk] } } })
  t.match(await introspect(token, withAssertion(await sign())), refusal)
  t.equal((await introspect(token, withAssertion(await sign({}, {}, other.privateKey)))).status, 200)
})

t.test('with several keys, the assertion has to name a kid', async (t) => {
  const { sign, introspect, keysUrl, publicJwk } = await makeClient(world)
  const keys = [publicJwk, { ...other.publicJwk, kid: 'two' }]
  await world.ask('PUT', keysUrl, { body: { jwks: { keys } } })
  const ask = async (assertion: Promise<string>) => introspect(token, withAssertion(await assertion))
  t.equal((await ask(sign())).status, 200)
  t.equal((await ask(sign({}, { kid: 'two' }, other.privateKey))).status, 200)
  t.match(await ask(sign({}, { kid: undefined })), refusal)
})

t.test('used assertions are deleted once they have expired', async (t) => {
  const world = await createWorld(t)
  const { sign, introspect } = await makeClient(world)
  const count = async () => Number((await world.sql('select count(*) from client_assertions')).rows[0].count)
  for (let i = 0; i < 5; i++) await introspect('x', withAssertion(await sign()))
  t.equal(await count(), 5)
  world.clock.advance(day)
  await introspect('x', withAssertion(await sign()))
  t.equal(await count(), 1)
})
