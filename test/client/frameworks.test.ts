import { once } from 'node:events'
import { request } from 'node:http'
import type { AddressInfo } from 'node:net'
import express from 'express'
import Fastify from 'fastify'
import t, { type Test } from 'tap'
import { createAuthenticate } from '../../client/express.ts'
import counterfoil from '../../client/fastify.ts'
import { createVerifier, type VerifierOptions } from '../../client/verifier.ts'
import { startService } from '../support/verifier.ts'
import { createWorld } from '../support/world.ts'

const world = await createWorld(t)
const { url, token } = await startService(world)
const long = { lifetime_days: 3650 }
const demands = {
  '/any': {},
  '/reports': { scope: 'reports:read' },
  '/elsewhere': { audience: 'https://other.example' },
}
const gone = 'http://127.0.0.1:1'

/** An API on each framework whose routes answer with the token's owner; resolves with its URL. */
const frameworks: Record<string, (t: Test, options: VerifierOptions) => Promise<string>> = {
  async fastify(t, options) {
    const app = Fastify()
    await app.register(counterfoil, options)
    for (const [path, demand] of Object.entries(demands)) {
      app.get(path, { onRequest: app.authenticate(demand) }, async ({ introspection }) => introspection?.jti)
    }
    t.teardown(() => app.close())
    return app.listen({ host: '127.0.0.1', port: 0 })
  },
  async express(t, options) {
    const verifier = createVerifier(options)
    const authenticate = createAuthenticate(verifier)
    const app = express()
    for (const [path, demand] of Object.entries(demands)) {
      app.get(path, authenticate(demand), ({ introspection }, response) => {
        response.send(introspection?.jti)
      })
    }
    const server = app.listen(0, '127.0.0.1')
    await once(server, 'listening')
    t.teardown(() => verifier.close())
    t.teardown(() => server.close())
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  },
}

type Reply = { status: number | undefined; challenge: string | undefined; text: string }

async function get(url: string, authorization: string | string[]): Promise<Reply> {
  const sent = request(url, { headers: { authorization, connection: 'close' } as Record<string, string> })
  sent.end()
  const [response] = await once(sent, 'response')
  let text = ''
  for await (const chunk of response.setEncoding('utf8')) text += chunk
  return { status: response.statusCode, challenge: response.headers['www-authenticate'], text }
}

for (const [name, start] of Object.entries(frameworks)) {
  t.test(`${name}: RFC 6750 §3: good tokens are admitted, and others get a challenge`, async (t) => {
    const base = await start(t, { url, token, feed: false })
    const good = await world.issue({ ...long, scopes: ['reports:read'] })
    const narrow = await world.issue({ ...long, scopes: ['other'] })
    const revoked = await world.issue(long)
    await world.ask('POST', `/v1/organizations/default/tokens/${revoked.id}/revoke`)
    const bearer = `Bearer ${good.secret}`

    t.match(await get(`${base}/any`, bearer), { status: 200, text: good.id })
    t.match(await get(`${base}/reports`, bearer), { status: 200, text: good.id })
    t.match(await get(`${base}/any`, []), { status: 401, challenge: 'Bearer' })
    t.match(await get(`${base}/any`, 'Basic eDp4'), { status: 401, challenge: 'Bearer' })
    t.match(await get(`${base}/any`, `Bearer ${revoked.secret}`), {
      status: 401,
      challenge:
        'Bearer error="invalid_token", error_description="The token is unknown, expired or revoked."',
      text: '"error":"invalid_token"',
    })
    t.match(await get(`${base}/reports`, `Bearer ${narrow.secret}`), {
      status: 403,
      challenge: /^Bearer error="insufficient_scope", .*scope="reports:read"$/,
    })
    t.match(await get(`${base}/elsewhere`, bearer), { status: 401, challenge: /error="invalid_token"/ })
  })

  t.test(`${name}: RFC 6750 §2: two credentials are rejected, even if they are equal`, async (t) => {
    const base = await start(t, { url, token, feed: false })
    const { secret } = await world.issue(long)
    const bearer = `Bearer ${secret}`
    const twice = { status: 400, challenge: /^Bearer error="invalid_request"/ }
    t.match(await get(`${base}/any`, [bearer, bearer]), twice)
    t.match(await get(`${base}/any`, [bearer, 'Basic eDp4']), twice)
    t.match(await get(`${base}/any?access_token=${secret}`, bearer), twice)
    t.match(await get(`${base}/any?access_token=${secret}`, []), { status: 401, challenge: 'Bearer' })
  })

  t.test(`${name}: a token that cannot be verified is a 503`, async (t) => {
    const base = await start(t, { url: gone, token, feed: false })
    const { secret } = await world.issue(long)
    t.match(await get(`${base}/any`, `Bearer ${secret}`), { status: 503, challenge: undefined })
  })
}

t.test(
  'a demand that cannot be met, or would break the challenge, is rejected when it is defined',
  async (t) => {
    const verifier = createVerifier({ url, token, feed: false })
    for (const scope of ['a"b', 'a\\b', 'a\r\nb', '', ' ', 'ä'])
      t.throws(() => createAuthenticate(verifier)({ scope }), TypeError)
    verifier.close()
  },
)
