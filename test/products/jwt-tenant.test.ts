// Follows the reference "JWT tokens of a tenant" from top to bottom.
import * as jose from 'jose'
import t from 'tap'
import { type Reply, startProduct } from '../support/product.ts'

const product = await startProduct(t, 'jwt-tenant')
const { create, list, introspect, http, tokens, clock, inDays } = product
const day = 24 * 60 * 60 * 1000
const owner = { subject: 'u-1', email: 'ada@example.com', identity_source: 'internal' }
const api = { type: 'api', owner }
let masking: Reply

t.test('tokens are generated for a customisable lifespan', async (t) => {
  for (const days of [1, 30, 1000]) {
    const { status, body } = await create({ ...api, lifetime_days: days })
    t.match({ status, body }, { status: 201, body: { expires_at: inDays(days), warnings: [] } })
  }
})

t.test('tokens are JWTs that can be verified with the published keys', async (t) => {
  const { body } = await create({ ...api, lifetime_days: 30 })
  t.match(body.secret, /^eyJ[\w-]+\.[\w-]+\.[\w-]+$/)
  const keys = jose.createLocalJWKSet((await http('GET', '/.well-known/jwks.json', { token: '' })).body)
  const { payload } = await jose.jwtVerify(body.secret, keys, { currentDate: clock.now })
  t.match(payload, { jti: body.id, sub: 'u-1', organization: 'acme' })
  t.equal(payload.exp, Date.parse(body.expires_at) / 1000)
})

t.test('the associated user is the one that is logged in', async (t) => {
  const { body } = await create(api)
  t.same(body.owner, owner)
  t.match(await introspect(body.secret), { sub: 'u-1', username: 'ada@example.com' })
})

t.test('a description is unique among all tokens of the tenant, in any case', async (t) => {
  const described = { ...api, name: 'Sandbox refresh' }
  t.equal((await create(described)).status, 201)
  for (const name of ['Sandbox refresh', 'SANDBOX REFRESH']) {
    const again = await create({ ...described, name, owner: { ...owner, subject: 'u-2' } })
    t.match(again, { status: 409, body: { code: 'name_taken', errors: [{ field: 'name' }] } }, name)
  }
  const others = await Promise.all(Array.from({ length: 10 }, () => create({ ...api, name: 'Nightly job' })))
  t.same(
    others.map(({ status }) => status).sort(),
    [201, ...Array(9).fill(409)],
    'also when ten come at once',
  )
})

t.test('left blank, a unique name is generated that matches the token by its ends', async (t) => {
  const made = await Promise.all(Array.from({ length: 10 }, () => create(api)))
  const names = made.map(({ body }) => body.name)
  t.equal(new Set(names).size, 10)
  for (const { body } of made) {
    const [first, middle, last] = body.name.split('..')
    t.same([first, last], [body.secret.slice(0, 4), body.secret.slice(-4)])
    t.match(middle, /^[0-9A-Za-z]{11}$/)
    t.match(first, /^eyJ/)
  }
  const { secret } = made[0]?.body ?? {}
  const found = (await list('?limit=200')).filter(
    ({ name }) => name.startsWith(secret.slice(0, 4)) && name.endsWith(secret.slice(-4)),
  )
  t.same(
    found.map(({ name }) => name),
    [names[0]],
  )
})

t.test('the minimum lifespan is one day', async (t) => {
  t.equal((await create({ ...api, lifetime_days: 0 })).status, 400)
  const hours = new Date(clock.now.getTime() + day - 1000).toISOString()
  t.match(await create({ ...api, expires_at: hours }), { status: 422, body: { detail: /one day/ } })
  t.equal((await create({ ...api, lifetime_days: 1 })).status, 201)
})

t.test('left empty, there is no expiration', async (t) => {
  const { body } = await create(api)
  t.match(body, { expires_at: null, expiry: { state: 'never' } })
  clock.advance(10_000 * day)
  t.equal((await introspect(body.secret)).active, true)
  clock.advance(-10_000 * day)
})

t.test('once the window is closed there is no way to view the token', async (t) => {
  masking = await create({ ...api, name: 'Masking', lifetime_days: 30 })
  for (const path of [`${tokens}?limit=200`, `${tokens}/${masking.body.id}`])
    t.notOk((await http('GET', path)).text.includes(masking.body.secret))
})

t.test('the list has description, status with expiry, and associated user of the whole tenant', async (t) => {
  const colleague = { subject: 'u-2', email: 'bob@example.com', identity_source: 'internal' as const }
  await create({ ...api, name: "Bob's", owner: colleague })
  const items = await list('?limit=200')
  t.match(
    items.find(({ name }) => name === 'Masking'),
    { status: 'active', expires_at: inDays(30), owner: { email: 'ada@example.com' } },
  )
  t.match(
    items.find(({ name }) => name === "Bob's"),
    { owner: { email: 'bob@example.com' } },
  )
})

t.test('a description can be changed in place, which the reference cannot; uniqueness holds', async (t) => {
  const item = `${tokens}/${masking.body.id}`
  t.equal((await http('PATCH', item, { body: { name: 'sandbox REFRESH' } })).status, 409)
  t.equal((await http('PATCH', item, { body: { name: 'Masking job' } })).status, 200)
  t.equal((await introspect(masking.body.secret)).active, true)
})

t.test('an expired token is shown as such and is no longer good', async (t) => {
  const { body } = await create({ ...api, name: 'Short', lifetime_days: 1 })
  clock.advance(day)
  t.same(await introspect(body.secret), { active: false })
  t.match((await http('GET', `${tokens}/${body.id}`)).body, {
    status: 'expired',
    expiry: { state: 'expired' },
  })
})

t.test('a delete needs the description as confirmation', async (t) => {
  const item = `${tokens}/${masking.body.id}`
  for (const query of ['', '?confirm=Masking', '?confirm=masking%20job']) {
    const refused = await http('DELETE', item + query)
    t.match(refused, { status: 422, body: { code: 'confirmation_required' } }, query)
  }
  t.equal((await introspect(masking.body.secret)).active, true)
  t.equal((await http('DELETE', `${item}?confirm=Masking%20job`)).status, 204)
})

t.test('a deleted token is unauthorized at once, whatever was left of its life, for good', async (t) => {
  t.ok(masking.body.expires_at > clock.now.toISOString())
  t.same(await introspect(masking.body.secret), { active: false })
  const call = await http('GET', '/v1/self', { token: masking.body.secret })
  t.match(call, { status: 401, body: { code: 'invalid_token' } })
  t.match(call.headers.get('www-authenticate'), /^Bearer .*error="invalid_token"/)
  t.equal((await http('GET', `${tokens}/${masking.body.id}`)).status, 404)
  t.equal((await create({ ...api, name: 'Masking job' })).status, 201, 'its description is free again')
})

t.test('the token is sent as a bearer token', async (t) => {
  const { body } = await create(api)
  t.equal((await http('GET', '/v1/self', { token: body.secret })).body.id, body.id)
})
