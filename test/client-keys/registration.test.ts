import { generateKeyPairSync } from 'node:crypto'
import t from 'tap'
import { makeClient } from '../support/client.ts'
import { createWorld } from '../support/world.ts'

const world = await createWorld(t)
const { ask } = world
const { id, keysUrl } = await makeClient(world)
const put = (body: object, token = world.admin) => ask('PUT', keysUrl, { body, token })
const stored = async () => (await ask('GET', keysUrl)).body

const jwkOf = ({ publicKey }: { publicKey: import('node:crypto').KeyObject }) =>
  publicKey.export({ format: 'jwk' })
const p256 = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const ec = jwkOf(p256)
const rsa = jwkOf(generateKeyPairSync('rsa', { modulusLength: 2048 }))
const ed = jwkOf(generateKeyPairSync('ed25519'))

t.test('keys are registered, read, replaced and removed', async (t) => {
  const keys = [
    { ...ed, kid: 'a', alg: 'EdDSA' },
    { ...ec, kid: 'b' },
    { ...rsa, kid: 'c', alg: 'PS256' },
  ]
  const shown = { jwks: { keys: keys.map((key) => ({ ...key, use: 'sig' })) } }
  t.match(await put({ jwks: { keys } }), { status: 200, body: shown })
  t.same(await stored(), shown)
  t.match(await put(shown), { status: 200 }, 'what is read can be put back')
  const elsewhere = { jwks_uri: 'https://service.example/jwks.json' }
  t.match(await put(elsewhere), { status: 200, body: elsewhere })
  t.same(await stored(), elsewhere)
  t.equal((await ask('DELETE', keysUrl)).status, 204)
  t.match(await ask('GET', keysUrl), { status: 404, body: { code: 'not_found' } })
  t.match(await ask('DELETE', keysUrl), { status: 404 })
})

t.test('only the public members of a key are stored', async (t) => {
  const chatty = {
    ...ec,
    kid: 'a',
    key_ops: ['verify'],
    ext: true,
    x5u: 'https://evil.example',
    note: 'mine',
  }
  const { body } = await put({ jwks: { keys: [chatty], comment: 'ours' } })
  t.same(body, { jwks: { keys: [{ ...ec, kid: 'a', use: 'sig' }] } })
  const { rows } = await world.sql('select jwks from client_keys where token_id = $1', [id])
  t.same(rows[0].jwks, body.jwks)
})

t.test('a private or symmetric key is rejected, and none of it is repeated or stored', async (t) => {
  const before = await stored()
  const priv = p256.privateKey.export({ format: 'jwk' })
  const given = { ...ec, d: priv.d }
  for (const jwk of [given, { ...rsa, p: priv.d }, { ...ec, k: priv.d }, { ...ec, oth: [{ d: priv.d }] }]) {
    const answer = await put({ jwks: { keys: [ed, jwk] } })
    t.match(answer, { status: 422, body: { errors: [{ field: 'jwks.keys.1', detail: /private part/ }] } })
    t.notOk(answer.text.includes(String(priv.d)))
  }
  const symmetric = await put({ jwks: { keys: [{ kty: 'oct', k: priv.d }] } })
  t.match(symmetric, { status: 400, body: { errors: [{ field: 'jwks.keys.0.kty' }] } })
  t.notOk(symmetric.text.includes(String(priv.d)))
  t.same(await stored(), before)
})

t.test('a key of an unsupported algorithm is rejected', async (t) => {
  const small = jwkOf(generateKeyPairSync('rsa', { modulusLength: 1024 }))
  const p384 = jwkOf(generateKeyPairSync('ec', { namedCurve: 'P-384' }))
  const x25519 = jwkOf(generateKeyPairSync('x25519'))
  const offCurve = { ...ec, y: ec.x }
  for (const jwk of [
    small,
    p384,
    x25519,
    offCurve,
    { ...ed, x: 'AA' },
    { kty: 'EC' },
    { kty: 'RSA', n: '', e: '' },
  ]) {
    const answer = await put({ jwks: { keys: [jwk] } })
    t.match(answer, {
      status: 422,
      body: { errors: [{ field: 'jwks.keys.0', detail: /is not a public key/ }] },
    })
  }
  for (const jwk of [
    { ...rsa, alg: 'HS256' },
    { ...rsa, alg: 'none' },
    { ...rsa, alg: 'ES256' },
    { ...ec, alg: 'RS256' },
  ])
    t.match(await put({ jwks: { keys: [jwk] } }), { status: 422, body: { detail: /must have the alg/ } })
  t.match(await put({ jwks: { keys: [{ ...ec, use: 'enc' }] } }), { status: 400 })
})

t.test('one to ten keys are accepted, with distinct kids', async (t) => {
  const many = Array.from({ length: 11 }, (_, i) => ({ ...ec, kid: String(i) }))
  t.equal((await put({ jwks: { keys: many.slice(1) } })).status, 200)
  t.match(await put({ jwks: { keys: many } }), { status: 400, body: { errors: [{ field: 'jwks.keys' }] } })
  t.match(await put({ jwks: { keys: [] } }), { status: 400 })
  const twice = [
    { ...ec, kid: 'a' },
    { ...rsa, kid: 'a' },
  ]
  t.match(await put({ jwks: { keys: twice } }), { status: 422, body: { errors: [{ field: 'jwks.keys' }] } })
})

t.test('either keys or their URL are required, but not both', async (t) => {
  const refusal = { status: 422, body: { errors: [{ in: 'body', field: 'jwks' }] } }
  t.match(await put({}), refusal)
  t.match(await put({ jwks: { keys: [ec] }, jwks_uri: 'https://service.example/jwks.json' }), refusal)
})

t.test('a forbidden URL is rejected at registration', async (t) => {
  for (const jwks_uri of [
    ...[
      'http://service.example/jwks.json',
      'https://127.0.0.1/',
      'https://[::ffff:10.0.0.1]/',
      'https://169.254.169.254/',
    ],
    ...['file:///etc/passwd', 'https://user:hunter2@service.example/', 'x'],
  ]) {
    const answer = await put({ jwks_uri })
    t.match(answer, { status: 422, body: { errors: [{ in: 'body', field: 'jwks_uri' }] } }, jwks_uri)
    t.notOk(answer.text.includes('hunter2'))
  }
})

t.test('only management tokens can have keys', async (t) => {
  const { id } = await world.issue()
  const url = `/v1/organizations/default/tokens/${id}/client-keys`
  for (const method of ['GET', 'PUT', 'DELETE']) {
    const answer = await ask(method, url, method === 'PUT' ? { body: { jwks: { keys: [ec] } } } : {})
    t.match(answer, { status: 404, body: { detail: /type management/ } }, method)
  }
})

t.test('adding keys to a token requires everything that the token holds', async (t) => {
  const writer = await world.manager(['tokens:write'])
  t.match(await put({ jwks: { keys: [ec] } }, writer), {
    status: 403,
    body: { code: 'insufficient_scope', detail: /tokens:introspect/ },
  })
  const both = await world.manager(['tokens:write', 'tokens:introspect'])
  t.equal((await put({ jwks: { keys: [ec] } }, both)).status, 200)
  t.match(await ask('DELETE', keysUrl, { token: writer }), { status: 403 })
})

t.test('the change log identifies the keys and who changed them', async (t) => {
  const { id, keysUrl } = await makeClient(world)
  await ask('PUT', keysUrl, { body: { jwks_uri: 'https://service.example/jwks.json' } })
  await ask('PUT', keysUrl, { body: { jwks_uri: 'https://service.example/jwks.json' } })
  await ask('DELETE', keysUrl)
  const { body } = await ask('GET', `/v1/organizations/default/audit-events?target=${id}`)
  const elsewhere = { jwks_uri: 'https://service.example/jwks.json' }
  const thumbprints = { thumbprints: [/^[\w-]{43}$/] }
  t.match(body.items.slice(0, -1), [
    {
      action: 'client_keys.deleted',
      changes: { before: elsewhere, after: {} },
      target: { type: 'token', id },
    },
    { action: 'client_keys.replaced', changes: { before: thumbprints, after: elsewhere } },
    { action: 'client_keys.replaced', changes: { before: {}, after: thumbprints } },
  ])
  t.equal(body.items.length, 4, 'what changes nothing is not logged')
})

t.test('keys are deleted with their token', async (t) => {
  const { id } = await makeClient(world)
  await ask('DELETE', `/v1/organizations/default/tokens/${id}`)
  t.same((await world.sql('select * from client_keys where token_id = $1', [id])).rows, [])
})
