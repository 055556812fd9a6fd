import { getListFromStatusListJWT, getStatusListFromJWT, StatusList } from '@sd-jwt/jwt-status-list'
import fc from 'fast-check'
import { createLocalJWKSet, decodeJwt, jwtVerify } from 'jose'
import t from 'tap'
import { listSize } from '../../src/status-lists/allocate.ts'
import { encodeBits, keptMs } from '../../src/status-lists/status-lists.ts'
import { createWorld, day, issuer, type World } from '../support/world.ts'

const world = await createWorld(t)
const tokens = '/v1/organizations/default/tokens'
const type = { format: 'jwt', audience: ['https://api.example'], status_list: true }
await world.ask('POST', '/v1/token-types', { body: { name: 'listed', ...type } })
await world.ask('POST', '/v1/token-types', { body: { name: 'other', ...type } })

/** Like a verifier that fetches a newer list once no instance serves the previous one. */
async function statusOf(jwt: string, { ask, clock }: World = world): Promise<number> {
  clock.advance(keptMs)
  const { idx, uri } = getStatusListFromJWT(jwt)
  const { text } = await ask('GET', new URL(uri).pathname, { token: '' })
  return getListFromStatusListJWT(text).getStatus(idx)
}

t.test('a JWT refers to its status, and introspects and verifies like any other', async (t) => {
  const { secret } = await world.issue({ type: 'listed', lifetime_days: 1 })
  const { status } = decodeJwt(secret) as { status?: { status_list: { idx: number; uri: string } } }
  t.match(status, {
    status_list: { idx: Number, uri: /^http:\/\/counterfoil\.test\/status-lists\/[\w-]{36}$/ },
  })
  t.same(Object.keys(status?.status_list ?? {}).sort(), ['idx', 'uri'])
  t.match(await world.introspect(secret), { active: true })
  t.equal(await statusOf(secret), 0)
})

t.test('draft-ietf-oauth-status-list §5.1: the list is a signed JWT of its own type', async (t) => {
  const { secret } = await world.issue({ type: 'listed' })
  const { uri } = getStatusListFromJWT(secret)
  const answer = await world.ask('GET', new URL(uri).pathname, { token: '' })
  t.equal(answer.status, 200)
  t.equal(answer.headers['content-type'], 'application/statuslist+jwt')
  t.equal(answer.headers['cache-control'], 'public, max-age=30')
  t.equal(answer.headers['content-encoding'], undefined)
  const keys = createLocalJWKSet((await world.ask('GET', '/.well-known/jwks.json')).body)
  const currentDate = world.clock.now
  const { payload, protectedHeader } = await jwtVerify(answer.text, keys, { currentDate })
  t.match(protectedHeader, { alg: 'EdDSA', typ: 'statuslist+jwt', kid: /^[\w-]{43}$/ })
  const iat = Math.floor(currentDate.getTime() / 1000)
  const { status_list: list, ...claims } = payload as { status_list: object }
  t.same(claims, { iss: issuer, sub: uri, iat, exp: iat + 300, ttl: 30 })
  t.match(list, { bits: 1, lst: /^[\w-]+$/ })
  t.ok(answer.text.length < 1000, 'it is small')
})

t.test('RFC 8725 §3.11: a status list cannot be mistaken for a token', async (t) => {
  const { secret } = await world.issue({ type: 'listed' })
  const { text } = await world.ask('GET', new URL(getStatusListFromJWT(secret).uri).pathname)
  t.same(await world.introspect(text), { active: false })
  t.equal((await world.ask('GET', '/v1/self', { token: text })).status, 401)
})

const ends: Record<string, (world: World, token: { id: string; secret: string }) => Promise<unknown>> = {
  revoked: ({ ask }, { id }) => ask('POST', `${tokens}/${id}/revoke`),
  'revoked by its secret': ({ ask }, { secret }) => ask('POST', '/revoke', { form: { token: secret } }),
  'revoked by hand': ({ sql }, { id }) => sql('update tokens set revoked_at = now() where id = $1', [id]),
  deleted: ({ ask }, { id }) => ask('DELETE', `${tokens}/${id}`),
  'of a suspended type': ({ ask }) => ask('POST', '/v1/token-types/listed/suspend'),
  'of a suspended organization': ({ ask }) => ask('POST', '/v1/organizations/default/suspend'),
  'of a deleted organization': async ({ ask }) => {
    await ask('POST', '/v1/organizations/default/suspend')
    await ask('DELETE', '/v1/organizations/default')
  },
}
for (const [how, end] of Object.entries(ends)) {
  t.test(`the status of a token that is ${how} is 1`, async (t) => {
    const world = await createWorld(t)
    await world.ask('POST', '/v1/token-types', { body: { name: 'listed', ...type } })
    const token = await world.issue({ type: 'listed' })
    t.equal(await statusOf(token.secret, world), 0)
    await end(world, token)
    t.equal(await statusOf(token.secret, world), 1)
  })
}

t.test('suspended and resumed tokens are good again, and others are unaffected', async (t) => {
  const suspended = (await world.issue({ type: 'listed' })).secret
  const other = (await world.issue({ type: 'other' })).secret
  await world.ask('POST', '/v1/token-types/listed/suspend')
  t.same([await statusOf(suspended), await statusOf(other)], [1, 0])
  await world.ask('POST', '/v1/token-types/listed/resume')
  t.same([await statusOf(suspended), await statusOf(other)], [0, 0])
})

t.test('an expired token has status 0, since its exp says so', async (t) => {
  const { secret } = await world.issue({ type: 'listed', lifetime_days: 1 })
  world.clock.advance(2 * day)
  t.equal(await statusOf(secret), 0)
})

t.test('an instance serves the same list for ten seconds', async (t) => {
  const { id, secret } = await world.issue({ type: 'listed' })
  const path = new URL(getStatusListFromJWT(secret).uri).pathname
  const get = (headers: Record<string, string> = {}) => world.ask('GET', path, { token: '', headers })
  world.clock.advance(keptMs)
  const first = await get()
  await world.ask('POST', `${tokens}/${id}/revoke`)
  world.clock.advance(keptMs - 1)
  t.equal((await get()).text, first.text)
  const etag = String(first.headers.etag)
  t.match(await get({ 'if-none-match': etag }), { status: 304, text: '', headers: { etag } })
  world.clock.advance(1)
  const second = await get({ 'if-none-match': etag })
  t.equal(second.status, 200)
  t.not(second.headers.etag, etag)
  t.equal(getListFromStatusListJWT(second.text).getStatus(getStatusListFromJWT(secret).idx), 1)
})

t.test('RFC 9110 §12.5.1: a client that does not accept the JWT gets 406', async (t) => {
  const { secret } = await world.issue({ type: 'listed' })
  const path = new URL(getStatusListFromJWT(secret).uri).pathname
  const status = async (accept: string) => (await world.ask('GET', path, { headers: { accept } })).status
  t.equal(await status('application/statuslist+jwt'), 200)
  t.equal(await status('application/statuslist+cwt'), 406)
})

t.test('an unknown list is a 404, and one that cannot be signed a 503', async (t) => {
  const get = (id: string, where = world) => where.ask('GET', `/status-lists/${id}`, { token: '' })
  t.match(await get('019aa0c4-7c1e-7d43-9f53-0b8f1d2b3c4d'), { status: 404, body: { code: 'not_found' } })
  t.equal((await get('x')).status, 400)
  const { secret } = await world.issue({ type: 'listed' })
  const { databaseUrl } = world
  const bare = await createWorld(t, { databaseUrl, signing: { masterKeys: [] } })
  const [, id = ''] = getStatusListFromJWT(secret).uri.split('/status-lists/')
  t.match(await get(id, bare), { status: 503, body: { code: 'unavailable' } })
})

t.test('only JWTs have an index in a list, and only if their type uses one', async (t) => {
  const create = (body: object) => world.ask('POST', '/v1/token-types', { body: { name: 'odd', ...body } })
  const refusal = { status: 422, body: { errors: [{ in: 'body', field: 'status_list' }] } }
  t.match(await create({ prefix: 'odd', status_list: true }), refusal)
  t.match(await world.ask('PATCH', '/v1/token-types/api', { body: { status_list: true } }), refusal)
  t.match(await create({ format: 'jwt' }), { status: 201, body: { status_list: false } })
  t.notOk('status' in decodeJwt((await world.issue({ type: 'odd' })).secret))
  await world.ask('PATCH', '/v1/token-types/odd', { body: { status_list: true } })
  t.ok('status' in decodeJwt((await world.issue({ type: 'odd' })).secret))
})

t.test('a failed create uses no index', async (t) => {
  const free = async () => (await world.sql('select sum(free) as free from status_lists')).rows[0].free
  const before = await free()
  const audience = Array.from({ length: 20 }, (_, i) => `https://${i}.example/${'x'.repeat(470)}`)
  const body = { name: 'Long', type: 'listed', audience }
  t.equal((await world.ask('POST', tokens, { body })).status, 422)
  t.equal(await free(), before)
})

t.test('a third-party library reads the same bits', async () => {
  await fc.assert(
    fc.asyncProperty(fc.uniqueArray(fc.nat({ max: listSize - 1 }), { maxLength: 300 }), async (places) => {
      const list = StatusList.decompressStatusList(await encodeBits(listSize, places), 1)
      const set = list.statusList.flatMap((status, place) => (status === 1 ? place : []))
      return list.statusList.length === listSize && String(set) === String(places.sort((a, b) => a - b))
    }),
    { numRuns: 20 },
  )
})
