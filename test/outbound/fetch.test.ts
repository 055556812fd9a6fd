import type { RequestListener } from 'node:http'
import { exportJWK, generateKeyPair, jwtVerify, SignJWT } from 'jose'
import t, { type Test } from 'tap'
import { OutboundError } from '../../src/outbound/error.ts'
import { createOutbound } from '../../src/outbound/outbound.ts'
import { cooldownMs, maxWaiting } from '../../src/outbound/remote-jwks.ts'
import { json, serve } from './server.ts'

const allow = ['127.0.0.1']
const outbound = createOutbound({ allow })

/** The error of fetching from such a server. */
async function refusal(t: Test, answer: RequestListener, limits?: { timeoutMs: number; maxBytes: number }) {
  const { url } = await serve(t, answer)
  const { fetchJson } = createOutbound({ allow, ...(limits && { limits }) })
  const error = await fetchJson(`${url}/jwks`, 'acme').then(
    () => undefined,
    (error) => error,
  )
  t.ok(error instanceof OutboundError)
  return error.message
}

t.test('JSON documents of any JSON media type are fetched', async (t) => {
  for (const type of ['application/json', 'application/jwk-set+json', 'application/JSON; charset=utf-8']) {
    const { url } = await serve(t, json({ keys: [] }, { 'content-type': type }))
    t.same(await outbound.fetchJson(`${url}/jwks`, 'acme'), { keys: [] }, type)
  }
})

t.test('no credentials or identifying header fields are sent', async (t) => {
  const { promise, resolve } = Promise.withResolvers<object>()
  const { url } = await serve(t, (request, response) => {
    resolve(request.headers)
    json({})(request, response)
  })
  await outbound.fetchJson(url, 'acme')
  t.same(Object.keys(await promise).sort(), ['accept', 'connection', 'host', 'user-agent'])
})

t.test('a redirect is not followed', async (t) => {
  const target = await serve(t, json({ keys: [] }))
  for (const status of [301, 302, 303, 307, 308]) {
    const message = await refusal(t, (_request, response) => {
      response.writeHead(status, { location: `${target.url}/secret`, 'content-type': 'application/json' })
      response.end('{}')
    })
    t.equal(message, `responds with the status ${status}`)
  }
  t.same(target.calls, [])
})

t.test('a response that is not JSON is rejected without quoting it', async (t) => {
  t.equal(await refusal(t, json({}, { 'content-type': 'text/html' })), 'does not respond with JSON')
  t.equal(await refusal(t, json('AKIA-SECRET')), 'does not respond with JSON')
  t.equal(await refusal(t, json('')), 'does not respond with JSON')
  t.equal(await refusal(t, json('{}', { 'content-encoding': 'gzip' })), 'responds with a content coding')
  const bare: RequestListener = (_request, response) => void response.end('{}')
  t.equal(await refusal(t, bare), 'does not respond with JSON')
})

t.test('an endless body is aborted at the limit', async (t) => {
  let gone = false
  const message = await refusal(t, (_request, response) => {
    response.on('close', () => {
      gone = true
    })
    response.writeHead(200, { 'content-type': 'application/json' })
    const more = () => {
      while (!gone && response.write('["aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",'));
      if (!gone) response.once('drain', more)
    }
    more()
  })
  t.equal(message, `has more than ${256 * 1024} bytes`)
})

t.test('a body of exactly the limit is accepted', async (t) => {
  const document = JSON.stringify('x'.repeat(998))
  const { url } = await serve(t, json(document))
  const { fetchJson } = createOutbound({ allow, limits: { timeoutMs: 5000, maxBytes: 1000 } })
  t.equal(await fetchJson(url, 'acme'), 'x'.repeat(998))
  t.equal(await refusal(t, json(document), { timeoutMs: 5000, maxBytes: 999 }), 'has more than 999 bytes')
})

t.test('a server that does not respond, or not completely, times out', async (t) => {
  const limits = { timeoutMs: 50, maxBytes: 1000 }
  t.equal(await refusal(t, () => {}, limits), 'does not respond in time', 'no answer')
  const half: RequestListener = (_request, response) => {
    response.writeHead(200, { 'content-type': 'application/json' })
    response.write('{')
  }
  t.equal(await refusal(t, half, limits), 'does not respond in time', 'half an answer')
})

t.test('a server that aborts or is unreachable cannot be reached', async (t) => {
  t.equal(await refusal(t, (request) => void request.socket.destroy()), 'cannot be reached')
  const broken: RequestListener = (_request, response) => {
    response.writeHead(200, { 'content-type': 'application/json', 'content-length': '100' })
    response.write('{"keys":', () => response.destroy())
  }
  t.equal(await refusal(t, broken), 'cannot be reached')
  await t.rejects(outbound.fetchJson('http://127.0.0.1:1/', 'acme'), { message: 'cannot be reached' })
  await t.rejects(createOutbound({ allow: [] }).fetchJson('http://127.0.0.1:1/', 'acme'), {
    message: 'is not an https URL',
  })
})

t.test('keys are fetched once, and again for a new kid only after the cooldown', async (t) => {
  const [one, two] = [await keyPair('one'), await keyPair('two')]
  const { url, calls } = await serve(t, json({ keys: [one.jwk] }))
  const jwks = createOutbound({ allow }).jwks
  for (let i = 0; i < 3; i++) await jwtVerify(await one.sign(), jwks(`${url}/jwks`, 'acme'))
  for (let i = 0; i < 3; i++)
    await t.rejects(two.sign().then((jwt) => jwtVerify(jwt, jwks(`${url}/jwks`, 'acme'))))
  t.same(calls, ['/jwks'])
})

t.test('a URL that fails is called again only after the cooldown', async (t) => {
  const { jwk, sign } = await keyPair('one')
  let answer: RequestListener = json({}, { 'content-type': 'text/plain' })
  const { url, calls } = await serve(t, (request, response) => answer(request, response))
  let elapsed = 0
  const { jwks } = createOutbound({ allow, elapsed: () => elapsed })
  const verify = async () => jwtVerify(await sign(), jwks(url, 'acme'))
  for (let i = 0; i < 3; i++) await t.rejects(verify(), { message: 'does not respond with JSON' })
  t.equal(calls.length, 1)
  elapsed += cooldownMs
  answer = json({ no: 'keys' })
  for (let i = 0; i < 3; i++) await t.rejects(verify(), { message: 'is not a JWK Set' })
  t.equal(calls.length, 2)
  elapsed += cooldownMs
  answer = json({ keys: [jwk] })
  t.match(await verify(), { payload: { sub: 'one' } })
  t.equal(calls.length, 3)
})

t.test('a limited number of requests wait for a slow URL, and others fail at once', async (t) => {
  const { jwk, sign } = await keyPair('one')
  const called = Promise.withResolvers<() => void>()
  const { url, calls } = await serve(t, (request, response) =>
    called.resolve(() => json({ keys: [jwk] })(request, response)),
  )
  const { jwks } = createOutbound({ allow })
  const jwt = await sign()
  const verify = () => jwtVerify(jwt, jwks(url, 'acme'))
  const waiting = Array.from({ length: maxWaiting }, verify)
  const go = await called.promise
  await t.rejects(verify(), { message: 'has too many requests waiting for it' })
  go()
  for (const one of waiting) t.match(await one, { payload: { sub: 'one' } })
  t.match(await verify(), { payload: { sub: 'one' } })
  t.equal(calls.length, 1)
})

async function keyPair(kid: string) {
  const { publicKey, privateKey } = await generateKeyPair('ES256')
  const sign = () => new SignJWT({ sub: kid }).setProtectedHeader({ alg: 'ES256', kid }).sign(privateKey)
  return { jwk: { ...(await exportJWK(publicKey)), kid }, sign }
}
