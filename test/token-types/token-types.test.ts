import t from 'tap'
import { createWorld } from '../support/world.ts'

const world = await createWorld(t)
const { ask, issue } = world
const create = (name: string, more: object = {}) =>
  ask('POST', '/v1/token-types', { body: { name, prefix: 'x', ...more } })

t.test('the first start creates api, mcp, scim and management', async (t) => {
  const { body } = await ask('GET', '/v1/token-types')
  t.same(
    body.items.map((type: any) => type.name),
    ['api', 'management', 'mcp', 'scim'],
  )
})

t.test('a type is created, read and changed; name and prefix never change', async (t) => {
  const created = await create('um', { prefix: 'um', allowed_scopes: ['um:read', 'um:write'] })
  t.match(created, { status: 201, headers: { location: '/v1/token-types/um' } })
  t.match(created.body, {
    name: 'um',
    prefix: 'um',
    format: 'opaque',
    carries_organization: false,
    default_scopes: [],
  })
  t.same((await ask('GET', '/v1/token-types/um')).body, created.body)
  const changed = await ask('PATCH', '/v1/token-types/um', {
    body: { allowed_scopes: null, description: 'Users' },
  })
  t.match(changed, { status: 200, body: { allowed_scopes: null, description: 'Users' } })
  for (const body of [{ name: 'y' }, { prefix: 'y' }, { carries_organization: true }]) {
    t.equal((await ask('PATCH', '/v1/token-types/um', { body })).status, 400, JSON.stringify(body))
  }
})

t.test('a change of a type does not change existing tokens', async (t) => {
  await create('old-scopes', { default_scopes: ['a'] })
  const { id } = await issue({ type: 'old-scopes' })
  await ask('PATCH', '/v1/token-types/old-scopes', { body: { allowed_scopes: ['b'], default_scopes: ['b'] } })
  t.same((await ask('GET', `/v1/organizations/default/tokens/${id}`)).body.scopes, ['a'])
})

t.test('a contradictory type is rejected, naming the field', async (t) => {
  const refused: [object, number, string][] = [
    [{ prefix: 'Upper' }, 400, 'prefix'],
    [{ prefix: 'ends_' }, 400, 'prefix'],
    [{ prefix: 'x'.repeat(21) }, 400, 'prefix'],
    [{ endpoint: 'ftp://host/{organization}' }, 400, 'endpoint'],
    [{ endpoint: 'https://host/{user}' }, 400, 'endpoint'],
    [{ allowed_scopes: ['a'], default_scopes: ['b'] }, 422, 'default_scopes'],
    [{ format: 'paseto' }, 400, 'format'],
    [{ format: 'jwt' }, 422, 'prefix'],
  ]
  for (const [more, status, field] of refused) {
    t.match(await create('refused', more), { status, body: { errors: [{ field }] } }, JSON.stringify(more))
  }
  t.equal((await ask('GET', '/v1/token-types/refused')).status, 404)
  t.match(await create('api'), { status: 409, body: { code: 'already_exists' } })
})

t.test('while a type is suspended none of its tokens is good, and none can be created', async (t) => {
  await create('risky')
  const { secret } = await issue({ type: 'risky' })
  t.equal((await ask('POST', '/v1/token-types/risky/suspend')).status, 200)
  t.same(await world.introspect(secret), { active: false })
  const body = { name: 'New', type: 'risky' }
  t.match(await ask('POST', '/v1/organizations/default/tokens', { body }), {
    status: 409,
    body: { code: 'suspended' },
  })
  t.equal((await ask('POST', '/v1/token-types/risky/resume')).status, 200)
  t.match(await world.introspect(secret), { active: true })
})

t.test('a type can be deleted only when its last token is deleted', async (t) => {
  await create('brief')
  const { id } = await issue({ type: 'brief' })
  await ask('POST', `/v1/organizations/default/tokens/${id}/revoke`)
  t.match(await ask('DELETE', '/v1/token-types/brief'), { status: 409, body: { code: 'in_use' } })
  await ask('DELETE', `/v1/organizations/default/tokens/${id}`)
  t.equal((await ask('DELETE', '/v1/token-types/brief')).status, 204)
  t.equal((await ask('GET', '/v1/token-types/brief')).status, 404)
})

t.test('the built-in type management cannot be changed', async (t) => {
  t.match(await ask('DELETE', '/v1/token-types/management'), { status: 409, body: { code: 'built_in' } })
  t.match(await ask('POST', '/v1/token-types/management/suspend'), {
    status: 409,
    body: { code: 'built_in' },
  })
})
