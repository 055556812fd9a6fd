import type { RequestListener } from 'node:http'
import t from 'tap'
import { cooldownMs } from '../../src/outbound/remote-jwks.ts'
import { json, serve } from '../outbound/server.ts'
import { makeClient, withAssertion } from '../support/client.ts'
import { createWorld } from '../support/world.ts'

const time = { elapsed: 0 }
const world = await createWorld(t, { outbound: { allow: ['127.0.0.1'], elapsed: () => time.elapsed } })
const client = await makeClient(world)
const other = await makeClient(world)
let answer: RequestListener = json({ keys: [client.publicJwk] })
const { url, calls } = await serve(t, (request, response) => answer(request, response))

/** A client whose keys are at a URL that has not been fetched before. */
async function remote(path: string) {
  const jwks_uri = `${url}/${path}`
  t.equal((await world.ask('PUT', client.keysUrl, { body: { jwks_uri } })).status, 200)
  const ask = async (key = client.privateKey, kid = 'one') =>
    client.introspect('x', withAssertion(await client.sign({}, { kid }, key)))
  return { ask, fetched: () => calls.filter((call) => call === `/${path}`).length }
}

t.test('keys are fetched from the jwks_uri of the client and cached', async (t) => {
  const { ask, fetched } = await remote('good')
  t.equal(fetched(), 0, 'registering fetches nothing')
  for (let i = 0; i < 3; i++) t.match(await ask(), { status: 200, body: { active: false } })
  t.equal(fetched(), 1)
  t.match(await ask(other.privateKey), { status: 401, body: { error: 'invalid_client' } })
  t.match(await ask(other.privateKey, 'two'), { status: 401, body: { error: 'invalid_client' } })
  t.equal(fetched(), 1, 'a kid that is not there does not have them fetched at once')
})

t.test('keys that cannot be fetched are a 503, and are fetched again after the cooldown', async (t) => {
  const { ask, fetched } = await remote('bad')
  answer = (_request, response) => void response.writeHead(404).end()
  const refusal = {
    status: 503,
    body: {
      error: 'temporarily_unavailable',
      error_description: 'The keys of the client could not be fetched; try again shortly.',
    },
  }
  for (let i = 0; i < 3; i++) t.match(await ask(), refusal)
  t.equal(fetched(), 1)
  time.elapsed += cooldownMs
  answer = json({ keys: [client.publicJwk] })
  t.equal((await ask()).status, 200)
})

const useless: Record<string, unknown> = {
  'no keys at all': { keys: [] },
  'a symmetric key': { keys: [{ kty: 'oct', k: 'c2VjcmV0', kid: 'one', alg: 'HS256' }] },
  'a private key': { keys: [{ ...client.publicJwk, d: client.publicJwk.x }] },
  'a key that is none': { keys: [{ kty: 'EC', crv: 'P-256', x: 'AA', y: 'AA', kid: 'one' }] },
  'what is no key': { keys: [null, 1, 'x'] },
  'no list': { keys: 'x' },
  'something else': [],
}
for (const [what, document] of Object.entries(useless)) {
  t.test(`a jwks_uri with ${what} rejects the client without an internal error`, async (t) => {
    answer = json(document)
    const { ask } = await remote(encodeURIComponent(what))
    t.match(await ask(), {
      status: /^(401|503)$/,
      body: { error: /^(invalid_client|temporarily_unavailable)$/ },
    })
  })
}

t.test('a registered URL inside our network is not called', async (t) => {
  const strict = await createWorld(t, { databaseUrl: world.databaseUrl, signing: world.signing })
  const { fetched } = await remote('inside')
  const form = { token: 'x', ...withAssertion(await client.sign()) }
  t.match(await strict.ask('POST', '/introspect', { token: '', form }), { status: 503 })
  t.equal(fetched(), 0)
})
