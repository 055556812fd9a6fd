import { createLocalJWKSet, decodeJwt, decodeProtectedHeader, jwtVerify } from 'jose'
import t from 'tap'
import { createWorld, day, issuer } from '../support/world.ts'

const world = await createWorld(t)
const tokens = '/v1/organizations/default/tokens'
const seconds = (instant: Date) => Math.floor(instant.getTime() / 1000)

await world.ask('POST', '/v1/token-types', {
  body: { name: 'jwt', format: 'jwt', audience: ['https://api.example'], default_scopes: ['read', 'write'] },
})
const jwks = async () => createLocalJWKSet((await world.ask('GET', '/.well-known/jwks.json')).body)

t.test('a JWT has the claims that its introspection shows, and verifies from the JWKS', async (t) => {
  const owner = { subject: 'u-4711', email: 'jo@example.com' }
  const issued = await world.issue({ name: 'First', type: 'jwt', owner, lifetime_days: 30 })
  const { payload, protectedHeader } = await jwtVerify(issued.secret, await jwks(), {
    issuer,
    audience: 'https://api.example',
    typ: 'at+jwt',
    algorithms: ['EdDSA'],
    currentDate: world.clock.now,
  })
  t.match(protectedHeader, { alg: 'EdDSA', typ: 'at+jwt', kid: /^[\w-]{43}$/ })
  t.same(payload, {
    iss: issuer,
    sub: 'u-4711',
    aud: ['https://api.example'],
    client_id: issued.id,
    iat: seconds(world.clock.now),
    nbf: seconds(world.clock.now),
    exp: seconds(world.clock.now) + (30 * day) / 1000,
    jti: issued.id,
    scope: 'read write',
    organization: 'default',
    type: 'jwt',
  })
  const { nbf, ...shown } = payload
  t.match(await world.introspect(issued.secret), { active: true, ...shown })
})

t.test('RFC 9068 §2.2: it is an at+jwt only with all required claims', async (t) => {
  const typ = async (input: object) =>
    decodeProtectedHeader((await world.issue({ type: 'jwt', ...input })).secret).typ
  t.equal(await typ({ lifetime_days: 1 }), 'at+jwt')
  t.equal(await typ({ lifetime_days: 1, audience: [] }), 'JWT')
  t.equal(await typ({ expires_at: null }), 'JWT')
})

t.test('missing facts are not among the claims', async (t) => {
  const { secret, id } = await world.issue({ type: 'jwt', scopes: [], audience: [], expires_at: null })
  t.same(Object.keys(decodeJwt(secret)).sort(), [
    ...['client_id', 'iat', 'iss', 'jti', 'nbf', 'organization', 'sub', 'type'],
  ])
  t.equal(decodeJwt(secret).sub, id, 'of a service the subject is the token itself')
})

t.test("rounding to seconds never extends a JWT's validity", async (t) => {
  world.clock.advance(300)
  const later = (ms: number) => new Date(world.clock.now.getTime() + ms).toISOString()
  const { secret } = await world.issue({ type: 'jwt', not_before: later(400), expires_at: later(2 * day) })
  const { iat, nbf, exp } = decodeJwt(secret)
  t.same(
    [iat, nbf, exp],
    [seconds(world.clock.now), seconds(world.clock.now) + 1, seconds(new Date(later(2 * day)))],
  )
  world.clock.advance(700)
})

t.test('a JWT shows its first and last four characters and no more', async (t) => {
  const { secret, id, hint } = await world.issue({ type: 'jwt' })
  t.equal(hint, `eyJh…${secret.slice(-4)}`)
  const { text } = await world.ask('GET', `${tokens}/${id}`)
  t.notOk(text.includes(secret.split('.')[2]))
})

t.test('a generated name consists of the ends of the JWT', async (t) => {
  await world.ask('PUT', '/v1/organizations/default/policy', { body: { name: { required: false } } })
  const { name, secret } = await world.issue({ type: 'jwt', name: undefined })
  t.match(name, /^eyJh\.\.[0-9A-Za-z]{11}\.\.[\w-]{4}$/)
  t.equal(name.slice(-4), secret.slice(-4))
})

t.test('a JWT is revoked and deleted like any other token', async (t) => {
  const revoked = await world.issue({ type: 'jwt' })
  await world.ask('POST', `${tokens}/${revoked.id}/revoke`)
  t.same(await world.introspect(revoked.secret), { active: false })
  const handed = await world.issue({ type: 'jwt' })
  t.equal((await world.ask('POST', '/revoke', { form: { token: handed.secret } })).status, 200)
  t.same(await world.introspect(handed.secret), { active: false })
  const deleted = await world.issue({ type: 'jwt' })
  t.equal((await world.ask('DELETE', `${tokens}/${deleted.id}`)).status, 204)
  t.same(await world.introspect(deleted.secret), { active: false })
})

t.test('an expired JWT is inactive', async (t) => {
  const { secret } = await world.issue({ type: 'jwt', lifetime_days: 1 })
  world.clock.advance(day)
  t.same(await world.introspect(secret), { active: false })
})

t.test('a JWT pasted into a name or comment is rejected and not stored', async (t) => {
  const { secret, id } = await world.issue({ type: 'jwt' })
  for (const body of [{ name: secret }, { comment: `Mine is ${secret}, thanks` }]) {
    const refusal = { status: 400, body: { code: 'invalid_request', errors: [{ in: 'body' }] } }
    t.match(await world.ask('PATCH', `${tokens}/${id}`, { body }), refusal)
  }
})

t.test('a JWT too long for a header is rejected, and nothing of it is stored', async (t) => {
  const audience = Array.from({ length: 20 }, (_, i) => `https://${i}.example/${'x'.repeat(470)}`)
  const before = (await world.ask('GET', tokens)).body.items.length
  const answer = await world.ask('POST', tokens, { body: { name: 'Long', type: 'jwt', audience } })
  t.match(answer, { status: 422, body: { code: 'invalid_value', errors: [{ field: 'scopes' }] } })
  t.equal((await world.ask('GET', tokens)).body.items.length, before)
})

t.test('a JWT type has no prefix or organization label, and every other type needs a prefix', async (t) => {
  const create = (body: object) => world.ask('POST', '/v1/token-types', { body: { name: 'odd', ...body } })
  const refusal = (field: string) => ({ status: 422, body: { errors: [{ in: 'body', field }] } })
  t.match(await create({ format: 'jwt', prefix: 'pat' }), refusal('prefix'))
  t.match(await create({ format: 'jwt', carries_organization: true }), refusal('carries_organization'))
  t.match(await create({}), refusal('prefix'))
  t.match(await create({ format: 'opaque' }), refusal('prefix'))
  t.match(await create({ format: 'jwt' }), { status: 201, body: { format: 'jwt', prefix: '' } })
})

t.test('without a master key creating a JWT fails with a reason', async (t) => {
  const refusal = { status: 409, body: { code: 'signing_unavailable', detail: /MASTER_KEY/ } }
  const bare = await createWorld(t, { signing: { masterKeys: [] } })
  const type = { name: 'jwt', format: 'jwt' }
  t.match(await bare.ask('POST', '/v1/token-types', { body: type }), refusal)
  t.match(await bare.ask('POST', '/v1/signing-keys/rotate'), refusal)
  t.same((await bare.ask('GET', '/.well-known/jwks.json')).body, { keys: [] })
  // As after a start without the previous master key.
  await bare.db.updateTable('tokenTypes').set({ format: 'jwt' }).where('name', '=', 'api').execute()
  t.match(await bare.ask('POST', tokens, { body: { name: 'None', type: 'api' } }), refusal)
})
