// Follows the reference "organization SCIM" from top to bottom. The on-premises secret (AUTH_SECRET) has a suite of its
// own.
import t from 'tap'
import { type Reply, startProduct } from '../support/product.ts'

const product = await startProduct(t, 'organization-scim')
const { create, list, introspect, http, tokens, clock } = product
let okta: Reply

t.test('tokens are scoped to the organization: another one neither sees nor reaches them', async (t) => {
  await http('POST', '/v1/organizations', { token: product.admin, body: { key: 'other', name: 'Other' } })
  const manager = { name: 'Manager', type: 'management', scopes: ['tokens:read', 'tokens:write'] }
  const made = await http('POST', '/v1/organizations/other/tokens', { token: product.admin, body: manager })
  t.equal(made.status, 201)
  const { body: token } = await create({ name: 'Scoped', type: 'scim' })
  const stranger = { token: made.body.secret }
  for (const [method, path] of [
    ['GET', tokens],
    ['GET', `${tokens}/${token.id}`],
    ['POST', `${tokens}/${token.id}/revoke`],
    ['DELETE', `${tokens}/${token.id}`],
  ] as const) {
    t.equal((await http(method, path, stranger)).status, 404, `${method} ${path}`)
  }
  t.match(await introspect(token.secret), { active: true, organization: 'acme' })
  await http('DELETE', `${tokens}/${token.id}`)
})

t.test('SCIM provisioning is what tokens support, and nothing else can be created', async (t) => {
  const { body } = await http('GET', `${tokens}/options`)
  t.match(body.types, [{ name: 'scim', endpoint: 'https://your-domain.example.com/scim/v2' }])
  t.equal(body.types.length, 1)
  t.match(await create({ name: 'Future', type: 'mcp' }), { status: 422 })
})

t.test('a token is generated from a descriptive name alone', async (t) => {
  okta = await create({ name: 'Okta SCIM Integration', type: 'scim' })
  t.match(okta, { status: 201, body: { name: 'Okta SCIM Integration', status: 'active', expires_at: null } })
  t.match(await create({ type: 'scim' }), { status: 422, body: { errors: [{ field: 'name' }] } })
})

t.test('the token is wxt_ and a random string', async (t) => {
  t.match(okta.body.secret, /^wxt_[0-9A-Za-z]{36}$/)
})

t.test('it is displayed only once; after that a hint is all there is', async (t) => {
  for (const path of [tokens, `${tokens}/${okta.body.id}`, `${product.organization}/audit-events`]) {
    const { status, text } = await http('GET', path, { token: product.admin })
    t.equal(status, 200)
    t.notOk(text.includes(okta.body.secret), path)
  }
  t.match((await list())[0].hint, /^wxt_[0-9A-Za-z]{4}…[0-9A-Za-z]{4}$/)
})

t.test('as a bearer token it opens the SCIM endpoint', async (t) => {
  t.match(await introspect(okta.body.secret), {
    active: true,
    type: 'scim',
    organization: 'acme',
    token_name: 'Okta SCIM Integration',
    endpoint: 'https://your-domain.example.com/scim/v2',
  })
})

t.test('a typo in it is not a token', async (t) => {
  const { secret } = okta.body
  const typo = secret.slice(0, -1) + (secret.endsWith('a') ? 'b' : 'a')
  t.same(await introspect(typo), { active: false })
})

t.test('when each token was last used is tracked', async (t) => {
  await create({ name: 'Never set up', type: 'scim' })
  await product.flushUsage()
  t.equal((await http('GET', `${tokens}/${okta.body.id}`)).body.last_used_at, clock.now.toISOString())
  const [unused, ...more] = await list('?never_used=true')
  t.match(unused, { name: 'Never set up', last_used_at: null })
  t.same(more, [])
  await http('DELETE', `${tokens}/${unused.id}`)
})

t.test('every integration has a token of its own, and old ones are rotated out', async (t) => {
  const azure = await create({ name: 'Azure AD Sync', type: 'scim' })
  clock.advance(1000)
  const fresh = await create({ name: 'Okta SCIM', type: 'scim' })
  t.same(
    (await list()).map(({ name }) => name),
    ['Okta SCIM', 'Azure AD Sync', 'Okta SCIM Integration'],
  )
  t.equal((await http('POST', `${tokens}/${okta.body.id}/revoke`)).status, 200)
  t.equal((await introspect(fresh.body.secret)).active, true)
  t.equal((await introspect(azure.body.secret)).active, true)
})

t.test('a revoked token is invalid at once and stays in the list as revoked', async (t) => {
  t.same(await introspect(okta.body.secret), { active: false })
  const [revoked] = await list('?status=revoked')
  t.match(revoked, { id: okta.body.id, status: 'revoked', revoked_by: { type: 'token' } })
})

t.test('the trash icon deletes it, and it is gone from the list', async (t) => {
  t.equal((await http('DELETE', `${tokens}/${okta.body.id}`)).status, 204)
  t.equal((await http('GET', `${tokens}/${okta.body.id}`)).status, 404)
  t.same(await introspect(okta.body.secret), { active: false })
})
