import { createPublicKey } from 'node:crypto'
import fastifyJwt, { type TokenOrHeader } from '@fastify/jwt'
import Fastify from 'fastify'
import buildGetJwks from 'get-jwks'
import { createRemoteJWKSet, customFetch, jwtVerify } from 'jose'
import * as oauth from 'oauth4webapi'
import t, { type Test } from 'tap'
import { fetchFrom } from '../support/fetch.ts'
import { createWorld, issuer, type World } from '../support/world.ts'

const audience = 'https://api.example'

async function newWorld(test: Test, alg: 'EdDSA' | 'ES256' | 'RS256') {
  const world = await createWorld(test, { signing: { alg } })
  const type = { name: 'jwt', format: 'jwt', audience: [audience] }
  await world.ask('POST', '/v1/token-types', { body: type })
  return world
}

const issueJwt = async (world: World) =>
  (await world.issue({ type: 'jwt', lifetime_days: 1, scopes: ['read'] })).secret as string

for (const alg of ['EdDSA', 'ES256', 'RS256'] as const) {
  t.test(`jose verifies a JWT from the JWKS (${alg})`, async (t) => {
    const world = await newWorld(t, alg)
    const url = new URL(`${issuer}/.well-known/jwks.json`)
    const keys = createRemoteJWKSet(url, { [customFetch]: fetchFrom(world.app) })
    const options = { issuer, audience, typ: 'at+jwt', algorithms: [alg], currentDate: world.clock.now }
    const { payload } = await jwtVerify(await issueJwt(world), keys, options)
    t.match(payload, { scope: 'read', organization: 'default' })
  })

  t.test(`RFC 9068: oauth4webapi accepts it as a JWT access token (${alg})`, async (t) => {
    const world = await newWorld(t, alg)
    const options = { [oauth.allowInsecureRequests]: true, [oauth.customFetch]: fetchFrom(world.app) }
    const server = new URL(issuer)
    const discovery = await oauth.discoveryRequest(server, { ...options, algorithm: 'oauth2' })
    const as = await oauth.processDiscoveryResponse(server, discovery)
    const request = new Request(audience, { headers: { authorization: `Bearer ${await issueJwt(world)}` } })
    const skew = Math.round((world.clock.now.getTime() - Date.now()) / 1000)
    const claims = await oauth.validateJwtAccessToken(as, request, audience, {
      ...options,
      [oauth.clockSkew]: skew,
    })
    t.match(claims, { iss: issuer, scope: 'read' })
  })
}

for (const alg of ['EdDSA', 'ES256', 'RS256'] as const) {
  t.test(`@fastify/jwt with get-jwks verifies it (${alg})`, async (t) => {
    const world = await newWorld(t, alg)
    const domain = await world.app.listen({ host: '127.0.0.1', port: 0 })
    const jwks = buildGetJwks({ jwksPath: '/.well-known/jwks.json' })
    const api = Fastify()
    t.teardown(() => api.close())
    await api.register(fastifyJwt, {
      decode: { complete: true },
      secret: async (_request: unknown, token: TokenOrHeader) => {
        const { kid, alg } = 'header' in token ? token.header : token
        const wanted = { kid: String(kid), alg, domain }
        // getPublicKey does not support Ed25519.
        if (alg !== 'EdDSA') return jwks.getPublicKey(wanted)
        const key = createPublicKey({ key: await jwks.getJwk(wanted), format: 'jwk' })
        return key.export({ type: 'spki', format: 'pem' }).toString()
      },
      verify: {
        algorithms: [alg],
        allowedIss: issuer,
        allowedAud: audience,
        clockTimestamp: world.clock.now.getTime(),
      },
    })
    api.get('/', async (request) => request.jwtVerify())
    const ask = async (token: string) =>
      api.inject({ url: '/', headers: { authorization: `Bearer ${token}` } })
    const token = await issueJwt(world)
    t.match((await ask(token)).json(), { iss: issuer, scope: 'read' })
    t.equal((await ask(`${token.slice(0, -8)}AAAAAAAA`)).statusCode, 401)
  })
}
