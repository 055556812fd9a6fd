import t from 'tap'
import { createWorld, issuer } from '../support/world.ts'

const jwks = '/.well-known/jwks.json'
const metadata = '/.well-known/oauth-authorization-server'

for (const [alg, members] of [
  ['EdDSA', ['alg', 'crv', 'kid', 'kty', 'use', 'x']],
  ['ES256', ['alg', 'crv', 'kid', 'kty', 'use', 'x', 'y']],
  ['RS256', ['alg', 'e', 'kid', 'kty', 'n', 'use']],
] as const) {
  t.test(`RFC 7517: the JWK Set contains only the public members of a key (${alg})`, async (t) => {
    const world = await createWorld(t, { signing: { alg } })
    const { status, headers, body } = await world.ask('GET', jwks, { token: '' })
    t.equal(status, 200)
    t.match(headers['content-type'], /^application\/jwk-set\+json;/)
    t.equal(headers['cache-control'], 'public, max-age=600')
    t.equal(body.keys.length, 1)
    t.same(Object.keys(body.keys[0]).sort(), members)
    t.match(body.keys[0], { alg, use: 'sig' })
  })
}

t.test('RFC 9110 §13.1.2: clients that have the JWK Set get 304 until it changes', async (t) => {
  const world = await createWorld(t)
  const ask = (tag: string) => world.ask('GET', jwks, { token: '', headers: { 'if-none-match': tag } })
  const { etag = '' } = (await world.ask('GET', jwks)).headers
  for (const tag of [etag, `W/${etag}`, `"other", ${etag}`, '*']) {
    const answer = await ask(tag)
    t.match(answer, { status: 304, text: '', headers: { etag, 'cache-control': 'public, max-age=600' } }, tag)
  }
  t.equal((await ask('"other"')).status, 200)
  await world.ask('POST', '/v1/signing-keys/rotate')
  const changed = await ask(etag)
  t.equal(changed.status, 200)
  t.equal(changed.body.keys.length, 2)
  t.not(changed.headers.etag, etag)
})

t.test('RFC 8414 §3.2: the metadata list what exists, and every endpoint responds', async (t) => {
  const world = await createWorld(t)
  const { status, body } = await world.ask('GET', metadata, { token: '' })
  const algs = ['EdDSA', 'Ed25519', 'ES256', 'RS256', 'PS256']
  t.equal(status, 200)
  t.same(body, {
    issuer,
    jwks_uri: `${issuer}/.well-known/jwks.json`,
    response_types_supported: [],
    grant_types_supported: [],
    service_documentation: `${issuer}/docs`,
    introspection_endpoint: `${issuer}/introspect`,
    introspection_endpoint_auth_methods_supported: ['client_secret_basic', 'Bearer', 'private_key_jwt'],
    introspection_endpoint_auth_signing_alg_values_supported: algs,
    introspection_signing_alg_values_supported: ['EdDSA'],
    revocation_endpoint: `${issuer}/revoke`,
    revocation_endpoint_auth_methods_supported: ['client_secret_basic', 'private_key_jwt'],
    revocation_endpoint_auth_signing_alg_values_supported: algs,
  })
  const addresses = Object.values(body).filter(
    (value): value is string => typeof value === 'string' && value !== issuer,
  )
  for (const address of addresses) {
    const { pathname } = new URL(address)
    t.not((await world.ask('GET', pathname)).status, 404, pathname)
  }
})

t.test('without a master key the metadata list no signing algorithm', async (t) => {
  const world = await createWorld(t, { signing: { masterKeys: [] } })
  t.notOk('introspection_signing_alg_values_supported' in (await world.ask('GET', metadata)).body)
})
