// Issuers that do not respond, or respond incorrectly.
import { once } from 'node:events'
import { createServer, type RequestListener, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import { json, serve } from '../outbound/server.ts'
import { recordedLines } from '../support/records.ts'
import { audience, startProvider } from './provider.ts'
import { createTrustingWorld, trust } from './trust.ts'

const resolved: string[] = []
const world = await createTrustingWorld(t, {
  outbound: {
    allow: ['127.0.0.1'],
    // A name of the attacker's that resolves to a forbidden address.
    resolve: async (name: string) => {
      resolved.push(name)
      return [{ address: '169.254.169.254', family: 4 }]
    },
  },
})
const provider = await startProvider(t)
const tokens = '/v1/organizations/default/tokens'
const now = Math.floor(world.clock.now.getTime() / 1000)
const from = (issuer: string) =>
  provider.sign({ iss: issuer, aud: audience, sub: 'ada', exp: now + 600 }, { kid: undefined })
const reader = { default_permissions: ['tokens:read'] }

/** The response to a token of that issuer. */
async function answerTo(issuer: string) {
  return world.ask('GET', tokens, { token: await from(issuer) })
}

const cannotKnow = { status: 503, body: { code: 'unavailable' }, headers: { 'retry-after': '1' } }

/** A server that is trusted as an issuer and responds like this. */
async function issuerThat(answer: (url: string) => Record<string, RequestListener>, more: object = {}) {
  const server = await serve(t, (request, response) => {
    const listener = answer(server.url)[request.url ?? '']
    if (listener) listener(request, response)
    else response.writeHead(404).end()
  })
  await trust(world, { issuer: server.url }, { ...reader, ...more })
  return server
}

const keys = () => json({ keys: [{ ...provider.publicKey.export({ format: 'jwk' }), use: 'sig' }] })

t.test('while an issuer is unreachable its users get 503, and others are unaffected', async (t) => {
  await trust(world, provider, reader)
  provider.replace((_request, response) => response.writeHead(502).end())
  const { detail, ...problem } = (await answerTo(provider.issuer)).body
  t.match({ body: problem }, { body: { status: 503, code: 'unavailable' } })
  t.match(detail, /signing keys of the issuer could not be fetched/)
  t.notMatch(detail, /502|127\.0\.0\.1/, 'what is behind an address is not told')
  t.equal((await world.ask('GET', tokens)).status, 200)
  t.match(await answerTo('https://untrusted.example'), { status: 401 })
  const asked = provider.calls.length
  t.match(await answerTo(provider.issuer), cannotKnow)
  t.equal(provider.calls.length, asked, 'it is not asked again for every request')
  provider.replace()
  t.ok(recordedLines(`${provider.issuer} responds with the status 502`).length > 0, 'but logged')
})

t.test('RFC 8414 §3: the metadata of an issuer that speaks OAuth only is found too', async (t) => {
  const server = await issuerThat((url) => ({
    '/.well-known/oauth-authorization-server': json({ issuer: url, jwks_uri: `${url}/keys` }),
    '/keys': keys(),
  }))
  t.equal((await answerTo(server.url)).status, 200)
  t.equal((await answerTo(server.url)).status, 200)
  t.same(server.calls, [
    '/.well-known/openid-configuration',
    '/.well-known/oauth-authorization-server',
    '/keys',
  ])
})

t.test('with a registered jwks_uri no metadata are fetched', async (t) => {
  const server = await serve(t, keys())
  await trust(world, { issuer: 'https://login.example' }, { ...reader, jwks_uri: `${server.url}/keys` })
  t.equal((await answerTo('https://login.example')).status, 200)
  t.same(server.calls, ['/keys'])
})

t.test('OpenID Connect Discovery §4.3: metadata of another issuer is not trusted', async (t) => {
  for (const issuer of ['https://login.example', undefined]) {
    const server = await issuerThat((url) => ({
      '/.well-known/openid-configuration': json({ issuer, jwks_uri: `${url}/keys` }),
      '/keys': keys(),
    }))
    t.match(await answerTo(server.url), cannotKnow)
    t.notOk(server.calls.includes('/keys'))
  }
})

t.test('malformed metadata and keys never cause a 500', async (t) => {
  const metadata = (url: string) => ({
    '/.well-known/openid-configuration': json({ issuer: url, jwks_uri: `${url}/keys` }),
  })
  const documents: Record<string, unknown>[] = [
    { keys: [{ kty: 'RSA', n: 'AQAB', e: 'AQAB', use: 'sig' }] },
    { keys: [{ kty: 'RSA', use: 'sig' }] },
    { keys: [{ kty: 'RSA', n: 7, e: [], use: 'sig' }] },
    { keys: 'none' },
  ]
  for (const document of documents) {
    const server = await issuerThat((url) => ({ ...metadata(url), '/keys': json(document) }))
    t.ok([401, 503].includes((await answerTo(server.url)).status), JSON.stringify(document))
  }
  for (const body of ['null', '[]', '"x"', '{}', '{', '7']) {
    const server = await issuerThat(() => ({ '/.well-known/openid-configuration': json(body) }))
    t.match(await answerTo(server.url), cannotKnow, body)
  }
  for (const jwks_uri of [
    7,
    'x',
    'file:///etc/passwd',
    'http://10.0.0.1/keys',
    'https://169.254.169.254/keys',
  ]) {
    const server = await issuerThat((url) => ({
      '/.well-known/openid-configuration': json({ issuer: url, jwks_uri }),
    }))
    t.match(await answerTo(server.url), cannotKnow, String(jwks_uri))
  }
})

t.test('a redirect is not followed, even to the keys', async (t) => {
  const server = await issuerThat((url) => ({
    '/.well-known/openid-configuration': (_request, response) =>
      response.writeHead(302, { location: `${url}/elsewhere` }).end(),
    '/elsewhere': json({ issuer: url, jwks_uri: `${url}/keys` }),
    '/keys': keys(),
  }))
  t.match(await answerTo(server.url), cannotKnow)
  t.notOk(server.calls.includes('/elsewhere'))
})

t.test('a name that resolves to an internal address is registered but never called', async (t) => {
  const issuer = 'https://rebound.example'
  await trust(world, { issuer }, reader)
  t.match(await answerTo(issuer), cannotKnow)
  t.ok(resolved.includes('rebound.example'))
})

const known = 'https://login.example'

t.test('requests that wait for a silent issuer leave room for all others', async (t) => {
  const held: ServerResponse[] = []
  const silent = createServer((_request, response) => void held.push(response)).listen(0, '127.0.0.1')
  await once(silent, 'listening')
  const url = `http://127.0.0.1:${(silent.address() as AddressInfo).port}`
  await trust(world, { issuer: url }, { ...reader, jwks_uri: `${url}/keys` })
  const token = await from(url)
  const waiting = Array.from({ length: 30 }, () => world.ask('GET', tokens, { token }))
  // At most twenty of thirty wait; the others get their response before the issuer sends anything.
  const turnedAway = await firstOf(waiting, 10)
  for (const answer of turnedAway) t.match(answer, cannotKnow)
  t.equal(held.length, 1, 'all of them wait for one call')
  t.equal((await world.ask('GET', tokens)).status, 200)
  t.equal((await answerTo(known)).status, 200, 'whose keys are in memory')
  const [response] = held
  if (response) keys()({} as never, response as never)
  const all = await Promise.all(waiting)
  t.equal(all.filter(({ status }) => status === 200).length, 20)
  t.equal((await world.ask('GET', tokens, { token })).status, 200)
  silent.closeAllConnections()
  silent.close()
})

/** The first `count` that are settled. */
async function firstOf<T>(promises: Promise<T>[], count: number): Promise<T[]> {
  const settled: T[] = []
  return new Promise((resolve, reject) => {
    for (const promise of promises)
      promise.then((value) => {
        if (settled.push(value) === count) resolve([...settled])
      }, reject)
  })
}
