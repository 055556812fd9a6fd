import { createLocalJWKSet, decodeJwt, decodeProtectedHeader, jwtVerify } from 'jose'
import * as oauth from 'oauth4webapi'
import t from 'tap'
import { fetchFrom } from '../support/fetch.ts'
import { createWorld, issuer } from '../support/world.ts'

const world = await createWorld(t)
const signed = 'application/token-introspection+jwt'
const resourceServer = await world.issue({
  name: 'Resource server',
  type: 'management',
  scopes: ['tokens:introspect'],
})

async function introspect(token: string, accept?: string) {
  const headers = accept === undefined ? {} : { accept }
  return world.ask('POST', '/introspect', { token: resourceServer.secret, form: { token }, headers })
}

t.test('RFC 9701 §5: the response is signed for the calling resource server', async (t) => {
  const { secret } = await world.issue({ scopes: ['read'] })
  const answer = await introspect(secret, signed)
  t.equal(answer.status, 200)
  t.equal(answer.headers['content-type'], signed)
  t.equal(answer.headers['cache-control'], 'no-store')
  const keys = createLocalJWKSet((await world.ask('GET', '/.well-known/jwks.json')).body)
  const { payload, protectedHeader } = await jwtVerify(answer.text, keys)
  t.equal(protectedHeader.typ, 'token-introspection+jwt')
  t.same(payload, {
    iss: issuer,
    aud: resourceServer.id,
    iat: Math.floor(world.clock.now.getTime() / 1000),
    token_introspection: (await introspect(secret)).body,
  })
})

t.test('a signed response for a token that is not good only says active: false', async (t) => {
  const { secret } = await world.issue()
  await world.ask('POST', '/revoke', { form: { token: secret } })
  for (const token of [secret, 'unknown', 'eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0.']) {
    t.same(decodeJwt((await introspect(token, signed)).text).token_introspection, { active: false })
  }
})

t.test('two callers get different signed responses', async (t) => {
  const { secret } = await world.issue()
  const other = await world.manager(['tokens:introspect'])
  const ask = { token: other, form: { token: secret }, headers: { accept: signed } }
  const { aud } = decodeJwt((await world.ask('POST', '/introspect', ask)).text)
  t.not(aud, resourceServer.id)
  t.equal(decodeJwt((await introspect(secret, signed)).text).aud, resourceServer.id)
})

const json = 'application/json; charset=utf-8'
const negotiations: [accept: string | undefined, type: string][] = [
  [undefined, json],
  ['', json],
  ['*/*', json],
  ['application/*', json],
  ['application/json', json],
  [signed, signed],
  [signed.toUpperCase(), signed],
  [`${signed}, application/json;q=0.9`, signed],
  [`${signed};q=0.5, application/json`, json],
  [`${signed};q=0.5, application/json;q=0.6`, json],
  [`application/json;q=0.1, ${signed};q=0.2`, signed],
  [`${signed}, */*;q=0.1`, signed],
  [`application/json;q=0, */*`, signed],
  [`${signed};q=0, */*`, json],
  [`text/html, ${signed};q=0.001`, signed],
]
for (const [accept, type] of negotiations) {
  t.test(`RFC 9110 §12.5.1: Accept ${JSON.stringify(accept)} gets ${type}`, async (t) => {
    const answer = await introspect('unknown', accept)
    t.equal(answer.status, 200)
    t.equal(answer.headers['content-type'], type)
    t.match(answer.headers.vary, /\bAccept\b/)
    if (type === signed) t.equal(decodeProtectedHeader(answer.text).typ, 'token-introspection+jwt')
  })
}

t.test('a client that accepts neither form gets 406', async (t) => {
  for (const accept of ['text/html', `${signed};q=0, application/json;q=0`, 'nonsense']) {
    t.match(await introspect('unknown', accept), { status: 406, body: { error: 'invalid_request' } }, accept)
  }
})

t.test('without a master key no signed response is offered', async (t) => {
  const bare = await createWorld(t, { signing: { masterKeys: [] } })
  const ask = (accept: string) =>
    bare.ask('POST', '/introspect', { form: { token: bare.admin }, headers: { accept } })
  t.equal((await ask(signed)).status, 406)
  t.match(await ask(`${signed}, application/json;q=0.1`), { status: 200, body: { active: true } })
})

t.test('with CORS the response varies by Origin too', async (t) => {
  const open = await createWorld(t, { corsOrigins: ['https://a.example', 'https://b.example'] })
  const headers = { origin: 'https://a.example' }
  const { headers: answered } = await open.ask('POST', '/introspect', { form: { token: 'x' }, headers })
  t.match(answered.vary, /Origin.*Accept/)
})

for (const alg of ['EdDSA', 'ES256', 'RS256'] as const) {
  t.test(`oauth4webapi reads and verifies the signed response (${alg})`, async (t) => {
    const world = await createWorld(t, { signing: { alg } })
    const insecure = { [oauth.allowInsecureRequests]: true, [oauth.customFetch]: fetchFrom(world.app) }
    const server = new URL(issuer)
    const discovery = await oauth.discoveryRequest(server, { ...insecure, algorithm: 'oauth2' })
    const as = await oauth.processDiscoveryResponse(server, discovery)
    const { id, secret } = await world.issue({
      name: 'Resource server',
      type: 'management',
      scopes: ['tokens:introspect'],
    })
    const skew = Math.round((world.clock.now.getTime() - Date.now()) / 1000)
    const client = {
      client_id: id,
      introspection_signed_response_alg: alg,
      [oauth.clockSkew]: skew,
    }
    const token = (await world.issue({ scopes: ['read'] })).secret
    const options = { ...insecure, requestJwtResponse: true }
    const auth = oauth.ClientSecretBasic(secret)
    const response = await oauth.introspectionRequest(as, client, auth, token, options)
    const answer = await oauth.processIntrospectionResponse(as, client, response)
    await oauth.validateApplicationLevelSignature(as, response, insecure)
    t.match(answer, { active: true, scope: 'read', iss: issuer })
  })
}
