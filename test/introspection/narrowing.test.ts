import t from 'tap'
import { blocks } from '../docs/markdown.ts'
import { createWorld } from '../support/world.ts'

const world = await createWorld(t)
const { ask, issue, manager, introspect } = world
const inactive = { active: false }
const scopes = ['tokens:introspect']
for (const key of ['acme', 'other']) await ask('POST', '/v1/organizations', { body: { key, name: key } })

const create = (body: object, organization = 'platform', token?: string) =>
  ask('POST', `/v1/organizations/${organization}/tokens`, {
    body: { name: 'Resource server', type: 'management', scopes, ...body },
    ...(token !== undefined && { token }),
  })

const tokens = {
  orders: await issue({ audience: ['https://orders.example', 'https://all.example'] }, 'acme'),
  nothing: await issue({ audience: [] }, 'acme'),
  scim: await issue({ type: 'scim', audience: ['https://orders.example'] }, 'acme'),
  elsewhere: await issue({ audience: ['https://orders.example'] }, 'other'),
}

async function seenBy(narrowed_to: object | undefined, organization = 'platform'): Promise<string[]> {
  const caller = await manager(scopes, organization, { narrowed_to: narrowed_to ?? null })
  const seen: string[] = []
  for (const [name, { secret }] of Object.entries(tokens)) {
    const answer = await introspect(secret, caller)
    if (answer.active) seen.push(name)
    else t.same(answer, inactive, 'that there is such a token does not show')
  }
  return seen
}

t.test('a narrowed resource server sees only the tokens it is narrowed to', async (t) => {
  t.same(await seenBy(undefined), ['orders', 'nothing', 'scim', 'elsewhere'])
  t.same(await seenBy({ organizations: ['acme'] }), ['orders', 'nothing', 'scim'])
  t.same(await seenBy({ organizations: ['acme', 'other'] }), ['orders', 'nothing', 'scim', 'elsewhere'])
  t.same(await seenBy({ audience: ['https://orders.example'] }), ['orders', 'scim', 'elsewhere'])
  t.same(await seenBy({ audience: ['https://all.example', 'https://unused.example'] }), ['orders'])
  t.same(await seenBy({ types: ['scim'] }), ['scim'])
  t.same(await seenBy({ types: ['api'], organizations: ['acme'] }), ['orders', 'nothing'])
  t.same(await seenBy({ types: ['mcp'] }), [])
  const all = { organizations: ['acme'], types: ['api'], audience: ['https://orders.example'] }
  t.same(await seenBy(all), ['orders'])
  t.same(await seenBy({ types: ['api'] }, 'acme'), ['orders', 'nothing'], 'within its own organization')
})

t.test('a token without an audience is invisible to viewers limited to an audience', async (t) => {
  t.notOk((await seenBy({ audience: ['https://orders.example'] })).includes('nothing'))
})

t.test('narrowed_to is shown, logged, and never changes', async (t) => {
  const narrowed_to = { organizations: ['acme'], types: ['api'] }
  const made = await create({ narrowed_to })
  t.match(made, { status: 201, body: { narrowed_to } })
  const url = `/v1/organizations/platform/tokens/${made.body.id}`
  t.same((await ask('GET', url)).body.narrowed_to, narrowed_to)
  const change = await ask('PATCH', url, { body: { narrowed_to: null } })
  t.match(change, { status: 400, body: { errors: [{ in: 'body', field: 'narrowed_to' }] } })
  const log = await ask('GET', `/v1/organizations/platform/audit-events?target=${made.body.id}`)
  t.match(log.body.items, [{ action: 'token.created', changes: { after: { narrowed_to } } }])
  t.equal((await issue()).narrowed_to, null)
})

t.test('narrowing that is not possible is rejected by name', async (t) => {
  const refused = async (field: string, status: number, body: object, organization?: string) => {
    const answer = await create(body, organization)
    t.match(answer, { status, body: { errors: [{ in: 'body', field }] } }, JSON.stringify(body))
  }
  const types = ['api']
  await refused('narrowed_to', 422, { type: 'api', scopes: ['read'], narrowed_to: { types } })
  await refused('narrowed_to', 422, { scopes: ['tokens:read'], narrowed_to: { types } })
  await refused('narrowed_to', 422, { scopes: [...scopes, 'platform:admin'], narrowed_to: { types } })
  await refused('narrowed_to.organizations', 422, { narrowed_to: { organizations: ['acme'] } }, 'acme')
  await refused('narrowed_to.organizations', 422, { narrowed_to: { organizations: ['nobody'] } })
  await refused('narrowed_to.types', 422, { narrowed_to: { types: ['nothing'] } })
  for (const narrowed_to of [{}, { types: [] }, { types: ['api', 'api'] }, { scopes: ['read'] }, [], 'api']) {
    const { status, body } = await create({ narrowed_to })
    t.equal(status, 400, JSON.stringify(narrowed_to))
    t.match(body.errors[0].field, /^narrowed_to/)
  }
})

t.test('a narrowed caller cannot grant a wider view than its own', async (t) => {
  const both = ['tokens:introspect', 'tokens:write']
  const narrow = { organizations: ['acme'], types: ['api', 'scim'] }
  const caller = await manager(both, 'platform', { narrowed_to: narrow })
  for (const narrowed_to of [
    undefined,
    null,
    { organizations: ['acme'] },
    { organizations: ['acme', 'other'], types: ['api'] },
    { types: ['api'] },
  ])
    t.match(await create({ narrowed_to }, 'platform', caller), {
      status: 403,
      headers: { 'www-authenticate': /error="insufficient_scope"/ },
      body: { code: 'insufficient_scope', detail: /narrowed_to\.(organizations|types)/ },
    })
  t.equal((await create({ narrowed_to: { ...narrow, types: ['api'] } }, 'platform', caller)).status, 201)
  t.equal((await create({ narrowed_to: { types: ['api'] } }, 'acme', caller)).status, 201)
  t.equal((await create({ narrowed_to: { types: ['api'] } }, 'other', caller)).status, 403)
  t.equal(
    (await create({ scopes: ['tokens:write'] }, 'acme', caller)).status,
    403,
    'nor what makes such tokens',
  )
})

t.test('narrowing by SQL takes effect at once, like any change of a token', async (t) => {
  const { id, secret } = (await create({})).body
  t.match(await introspect(tokens.scim.secret, secret), { active: true })
  await world.sql('update tokens set narrowed_to = $1 where id = $2', ['{"types":["api"]}', id])
  t.same(await introspect(tokens.scim.secret, secret), inactive)
  t.match(await introspect(tokens.orders.secret, secret), { active: true })
})

t.test('the resource server of docs/resource-servers.md can be created as shown', async (t) => {
  const [body = ''] = blocks('docs/resource-servers.md', 'json')
  const { secret } = (await create(JSON.parse(body))).body
  t.match(await introspect(tokens.orders.secret, secret), { active: true })
  t.same(await introspect(tokens.nothing.secret, secret), inactive)
})
