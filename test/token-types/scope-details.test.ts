// Scopes have labels and descriptions, so that a form does not show people `um:bulk`.
import t from 'tap'
import { permissions } from '../../src/access/permissions.ts'
import { createWorld } from '../support/world.ts'

const world = await createWorld(t)
const { ask } = world
const base = '/v1/organizations/default'

const read = { scope: 'um:read', label: 'Read', description: 'Read-only access' }
const write = { scope: 'um:write', label: 'Write', description: null }
const offered = async (type: string) =>
  (await ask('GET', `${base}/tokens/options`)).body.types.find(({ name }: any) => name === type).scope_details

for (const [of, types] of [
  ['the platform', '/v1/token-types'],
  ['an organization', `${base}/token-types`],
] as const)
  t.test(`scopes of a type of ${of} have a label and a description`, async (t) => {
    const name = `um-${of.length}`
    const allowed_scopes = ['um:read', 'um:write', 'um:bulk']
    const created = await ask('POST', types, {
      body: {
        name,
        prefix: 'um',
        allowed_scopes,
        scope_details: [read, { scope: 'um:write', label: ' Write ' }],
      },
    })
    t.match(created, { status: 201, body: { allowed_scopes, scope_details: [read, write] } })
    t.same((await ask('GET', `${types}/${name}`)).body.scope_details, [read, write])
    t.same(await offered(name), [read, write, { scope: 'um:bulk', label: 'um:bulk', description: null }])

    const changed = await ask('PATCH', `${types}/${name}`, { body: { scope_details: [write] } })
    t.match(changed, { status: 200, body: { scope_details: [write] } })
    t.equal(
      (await ask('PATCH', `${types}/${name}`, { body: { description: 'Users' } })).body.scope_details.length,
      1,
    )
    t.same((await ask('PATCH', `${types}/${name}`, { body: { scope_details: [] } })).body.scope_details, [])
    const { items } = (await ask('GET', '/v1/organizations/default/audit-events?action=token_type.updated'))
      .body
    const ofPlatform = (await ask('GET', '/v1/organizations/platform/audit-events?action=token_type.updated'))
      .body
    t.match(
      [...items, ...ofPlatform.items].find(({ target }) => target.id === name),
      {
        changes: { before: { scope_details: [write] }, after: { scope_details: [] } },
      },
    )
  })

t.test('a type without details offers its scopes by their names', async (t) => {
  await ask('POST', '/v1/token-types', { body: { name: 'plain', prefix: 'x', allowed_scopes: ['b', 'a'] } })
  t.same(await offered('plain'), [
    { scope: 'b', label: 'b', description: null },
    { scope: 'a', label: 'a', description: null },
  ])
})

t.test('where any scope is allowed, a form offers those with details', async (t) => {
  await ask('POST', '/v1/token-types', { body: { name: 'any', prefix: 'x', scope_details: [read] } })
  t.same(await offered('any'), [read])
})

t.test('permissions of management tokens have details, as far as the caller can grant them', async (t) => {
  const { body } = await ask('GET', '/v1/token-types/management')
  t.same(
    body.scope_details.map(({ scope }: any) => scope),
    permissions,
  )
  for (const { scope, label, description } of body.scope_details)
    t.ok(label !== scope && description.length > label.length, scope)
  const token = await world.manager(['tokens:write', 'audit:read'])
  const { types } = (await ask('GET', `${base}/tokens/options`, { token })).body
  const { scope_details } = types.find(({ name }: any) => name === 'management')
  t.match(scope_details, [
    { scope: 'tokens:write', label: 'Manage tokens' },
    { scope: 'audit:read', label: 'Read change log' },
  ])
})

t.test('invalid details are rejected, naming the field', async (t) => {
  const refused: [details: unknown, status: number, field: string][] = [
    [[{ scope: 'um:raed', label: 'Read' }], 422, 'scope_details'],
    [[read, { ...read, label: 'Again' }], 422, 'scope_details'],
    [[{ scope: 'um:read' }], 400, 'scope_details.0.label'],
    [[{ label: 'Read' }], 400, 'scope_details.0.scope'],
    [[{ ...read, label: '  ' }], 400, 'scope_details.0.label'],
    [[{ ...read, lable: 'x' }], 400, 'scope_details.0.lable'],
    [[{ ...read, description: 'x\u0000' }], 400, 'scope_details.0.description'],
    [{ 'um:read': 'Read' }, 400, 'scope_details'],
  ]
  for (const [scope_details, status, field] of refused)
    t.match(
      await ask('POST', '/v1/token-types', {
        body: { name: 'refused', prefix: 'x', allowed_scopes: ['um:read'], scope_details },
      }),
      { status, body: { errors: [{ field }] } },
      JSON.stringify(scope_details),
    )
  await ask('POST', '/v1/token-types', {
    body: { name: 'narrow', prefix: 'x', allowed_scopes: ['um:read'], scope_details: [read] },
  })
  t.match(await ask('PATCH', '/v1/token-types/narrow', { body: { allowed_scopes: ['um:bulk'] } }), {
    status: 422,
    body: { errors: [{ field: 'scope_details', detail: 'has um:read; the allowed scopes are um:bulk' }] },
  })
})
