// Token types of an organization, beside those of the platform: the organization's own of a name takes precedence.
import { randomBytes } from 'node:crypto'
import { getListFromStatusListJWT, getStatusListFromJWT } from '@sd-jwt/jwt-status-list'
import t, { type Test } from 'tap'
import { Secret } from '../../src/shared/secret.ts'
import { staticSecretLookup } from '../../src/tokens/static-secret/static-secret.ts'
import { startInstance } from '../support/credentials.ts'
import { recordSecret } from '../support/records.ts'
import { createWorld } from '../support/world.ts'

const fixed = randomBytes(24).toString('base64url')
recordSecret(fixed)
const staticSecret = { secret: new Secret(fixed), organization: 'fixed' }
const world = await createWorld(t, { staticSecret })
const { ask } = world
/** Another process, which makes none of the changes. */
const other = await startInstance(t, world, { staticSecret: staticSecretLookup(world.db, staticSecret) })
await other.lease(true)

let count = 0
async function organization(key = `org-${++count}`) {
  await ask('POST', '/v1/organizations', { body: { key, name: key } })
  const base = `/v1/organizations/${key}`
  const types = `${base}/token-types`
  return {
    key,
    base,
    types,
    make: (body: object, token = world.admin) => ask('POST', types, { token, body }),
    names: async (token = world.admin) =>
      (await ask('GET', types, { token })).body.items.map((type: any) => [type.name, type.organization]),
  }
}

async function accepts(t: Test, secret: string, expected: boolean, when: string): Promise<void> {
  t.equal((await world.introspect(secret)).active, expected, when)
  await other.credentials.settled()
  for (const from of ['the database', 'memory'])
    t.equal(await other.accepts(secret), expected, `${when}, elsewhere, from ${from}`)
}

t.test('one tenant’s scim is a JWT, another’s and the platform’s are opaque', async (t) => {
  const [jwt, wxt, plain] = [await organization(), await organization(), await organization()]
  const made = await jwt.make({ name: 'scim', format: 'jwt' })
  t.match(made, {
    status: 201,
    headers: { location: `${jwt.types}/scim`, etag: '"1"' },
    body: { name: 'scim', format: 'jwt', organization: jwt.key },
  })
  const endpoint = 'https://host.example/{organization}/scim'
  await wxt.make({ name: 'scim', prefix: 'wxt', carries_organization: true, endpoint })
  const scim = async ({ key }: { key: string }) => world.issue({ type: 'scim' }, key)
  const [a, b, c] = [await scim(jwt), await scim(wxt), await scim(plain)]
  t.match([a.secret, b.secret, c.secret], [/^eyJ/, new RegExp(`^wxt_${wxt.key}_`), /^scim_/])
  t.equal(b.endpoint, `https://host.example/${wxt.key}/scim`)
  for (const [token, { key }] of [
    [a, jwt],
    [b, wxt],
    [c, plain],
  ] as const) {
    t.match(await world.introspect(token.secret), { active: true, type: 'scim', organization: key })
    const shown = await ask('GET', `/v1/organizations/${key}/tokens/${token.id}`)
    t.match(shown, { status: 200, body: { type: 'scim', endpoint: token.endpoint } })
    t.equal((await ask('GET', `/v1/organizations/${key}/tokens`)).body.items.length, 1)
  }
  t.match(await world.introspect(b.secret), { endpoint: `https://host.example/${wxt.key}/scim` })
  const { types } = (await ask('GET', `${wxt.base}/tokens/options`)).body
  t.match(
    types.filter(({ name }: any) => name === 'scim'),
    [{ endpoint: `https://host.example/${wxt.key}/scim` }],
  )
})

t.test('no organization sees the types of another', async (t) => {
  const [one, two] = [await organization(), await organization()]
  await one.make({ name: 'secret-project', prefix: 'sp' })
  const token = await world.manager(['tokens:read', 'policy:write'], two.key)
  t.same(await two.names(token), [
    ['api', null],
    ['management', null],
    ['mcp', null],
    ['scim', null],
  ])
  t.same((await one.names()).at(-1), ['secret-project', one.key])
  for (const url of [
    `${two.types}/secret-project`,
    `${one.types}/secret-project`,
    one.types,
    '/v1/token-types/secret-project',
  ])
    t.equal((await ask('GET', url, { token })).status, 404, url)
  t.notMatch((await ask('GET', '/v1/token-types', { token })).text, /secret-project/)
  const policy = { allowed_types: ['secret-project'] }
  t.equal((await ask('PUT', `${two.base}/policy`, { body: policy })).status, 422)
  t.equal((await ask('PUT', `${one.base}/policy`, { body: policy })).status, 200)
  const create = (base: string) =>
    ask('POST', `${base}/tokens`, { body: { name: 'A token', type: 'secret-project' } })
  t.equal((await create(one.base)).status, 201)
  t.match(await create(two.base), { status: 422, body: { errors: [{ field: 'type' }] } })
})

t.test('a type is changed, suspended and deleted as one of the platform’s is', async (t) => {
  const { base, types, make, key } = await organization()
  await make({ name: 'own', prefix: 'own', allowed_scopes: ['a'] })
  t.equal((await make({ name: 'own', prefix: 'own' })).status, 409)
  t.match(await make({ name: 'management', prefix: 'x' }), { status: 409, body: { code: 'built_in' } })
  t.match(await make({ name: 'bad', format: 'jwt', prefix: 'x' }), { status: 422 })
  const changed = await ask('PATCH', `${types}/own`, {
    headers: { 'if-match': '"1"' },
    body: { description: 'Ours' },
  })
  t.match(changed, { status: 200, headers: { etag: '"2"' }, body: { description: 'Ours' } })
  t.equal(
    (await ask('PATCH', `${types}/scim`, { body: { description: 'x' } })).status,
    404,
    'not the platform’s',
  )
  const { secret, id } = await world.issue({ type: 'own', scopes: ['a'] }, key)
  await accepts(t, secret, true, 'before')
  await ask('POST', `${types}/own/suspend`)
  await accepts(t, secret, false, 'suspended')
  const refused = await ask('POST', `${base}/tokens`, { body: { name: 'New', type: 'own' } })
  t.match(refused, { status: 409, body: { code: 'suspended' } })
  await ask('POST', `${types}/own/resume`)
  await accepts(t, secret, true, 'resumed')
  t.match(await ask('DELETE', `${types}/own`), { status: 409, body: { code: 'in_use' } })
  await t.rejects(world.sql("delete from organization_token_types where name = 'own'"))
  await ask('DELETE', `${base}/tokens/${id}`)
  t.equal((await ask('DELETE', `${types}/own`)).status, 204)
  t.equal((await ask('GET', `${types}/own`)).status, 404)
  const { items } = (await ask('GET', `${base}/audit-events?target=own`)).body
  t.same(
    items.map(({ action }: any) => action),
    ['deleted', 'resumed', 'suspended', 'updated', 'created'].map((what) => `token_type.${what}`),
  )
})

t.test('tokens keep the type that they were created with', async (t) => {
  const { key, types, make } = await organization()
  const before = await world.issue({ type: 'mcp' }, key)
  await ask('POST', '/v1/token-types/mcp/suspend')
  await accepts(t, before.secret, false, 'the platform’s type suspended')
  await make({ name: 'mcp', prefix: 'own' })
  await accepts(t, before.secret, false, 'a type of the same name does not make it good again')
  const after = await world.issue({ type: 'mcp' }, key)
  await accepts(t, after.secret, true, 'of the organization’s own')
  await ask('POST', '/v1/token-types/mcp/resume')
  await ask('POST', `${types}/mcp/suspend`)
  await accepts(t, before.secret, true, 'of the platform’s')
  await accepts(t, after.secret, false, 'of the organization’s own, suspended')
})

t.test('a rotated token keeps its type, even if another type of that name takes precedence', async (t) => {
  const { key, make } = await organization()
  const before = await world.issue({ type: 'mcp' }, key)
  const rotate = (id: string, headers = {}) =>
    ask('POST', `/v1/organizations/${key}/tokens/${id}/rotate`, { body: {}, headers })
  const rotateSelf = (token: string) => ask('POST', '/v1/self/rotate', { token, body: {} })
  await make({ name: 'mcp', format: 'jwt', self_rotation: true })
  const after = await world.issue({ type: 'mcp' }, key)
  t.match((await rotate(before.id)).body.secret, /^mcp_/)
  t.match((await rotate(after.id)).body.secret, /^ey/)
  const another = await rotate(before.id, { 'idempotency-key': randomBytes(16).toString('hex') })
  t.match(another.body.secret, /^mcp_/)
  t.match(await rotateSelf(another.body.secret), { status: 403 })
  await ask('POST', '/v1/token-types/mcp/suspend')
  t.match(await rotate(before.id), { status: 409, body: { code: 'suspended' } })
  t.match(await rotate(after.id), { status: 200 })
  await ask('POST', '/v1/token-types/mcp/resume')
})

t.test('creates and deletions of a type at the same time leave no token without a type', async (t) => {
  const { key, base, types, make } = await organization()
  for (let round = 0; round < 5; round++) {
    await make({ name: 'api', prefix: 'own' })
    const answers = await Promise.all([
      ...Array.from({ length: 4 }, () =>
        ask('POST', `${base}/tokens`, { body: { name: 'A token', type: 'api' } }),
      ),
      ask('DELETE', `${types}/api`),
    ])
    for (const { status, body } of answers.slice(0, 4)) {
      t.equal(status, 201)
      recordSecret(body.secret)
      t.match(await world.introspect(body.secret), { active: true, organization: key })
    }
    for (const { body } of answers.slice(0, 4)) await ask('DELETE', `${base}/tokens/${body.id}`)
    await ask('DELETE', `${types}/api`)
  }
})

t.test('the feed tells of the suspension to those who see the organization and the type', async (t) => {
  const { key, types, make } = await organization()
  await make({ name: 'own', prefix: 'own', audience: ['https://a.example'] })
  const { cursor } = (await ask('GET', '/v1/revocations')).body
  await ask('POST', `${types}/own/suspend`)
  const events = async (token = world.admin) =>
    (await ask('GET', `/v1/revocations?since=${cursor}`, { token })).body.items
  t.match(await events(), [
    { reason: 'suspended', organization: key, type: 'own', token_id: null, hash: null },
  ])
  const server = (narrowed_to: object) =>
    world.manager(['tokens:introspect'], 'platform', {
      narrowed_to: { organizations: [key], ...narrowed_to },
    })
  t.equal((await events(await server({ types: ['own'] }))).length, 1)
  t.equal((await events(await server({ audience: ['https://a.example'] }))).length, 1)
  t.same(await events(await server({ types: ['api'] })), [])
  t.same(await events(await world.manager(['tokens:introspect'])), [])
})

t.test('a status list follows the organization’s own type', async (t) => {
  const { key, types, make } = await organization()
  await make({ name: 'listed', format: 'jwt', audience: ['https://api.example'], status_list: true })
  const { secret } = await world.issue({ type: 'listed' }, key)
  const { idx, uri } = getStatusListFromJWT(secret)
  const status = async () => {
    world.clock.advance(60_000)
    const { text } = await ask('GET', new URL(uri).pathname, { token: '' })
    return getListFromStatusListJWT(text).getStatus(idx)
  }
  t.equal(await status(), 0)
  await ask('POST', `${types}/listed/suspend`)
  t.equal(await status(), 1)
})

t.test('AUTH_SECRET is a token of the organization’s own scim', async (t) => {
  const { types, make } = await organization('fixed')
  await accepts(t, fixed, true, 'of the platform’s')
  await make({ name: 'scim', prefix: 'own', default_scopes: ['users'] })
  t.match(await world.introspect(fixed), { active: true, scope: 'users' })
  await ask('POST', `${types}/scim/suspend`)
  await accepts(t, fixed, false, 'suspended')
  await ask('DELETE', `${types}/scim`)
  await accepts(t, fixed, true, 'of the platform’s again')
})

t.test('an organization gives its tokens no scope that the platform’s types do not', async (t) => {
  for (const name of ['api', 'mcp', 'scim'])
    await ask('PATCH', `/v1/token-types/${name}`, { body: { allowed_scopes: [`${name}:read`] } })
  const { key, types, make } = await organization()
  const token = await world.manager(['policy:write'], key)
  const type = (name: string, allowed_scopes: string[] | null) =>
    make({ name, prefix: 'own', allowed_scopes }, token)
  const refused = { status: 403, body: { code: 'insufficient_scope', detail: /platform:admin/ } }
  for (const scopes of [null, ['api:read', 'api:write'], ['scim:read']])
    t.match(await type('api', scopes), refused, `api: ${scopes}`)
  for (const scopes of [null, ['admin'], ['api:read', 'admin']])
    t.match(await type('new', scopes), refused, `new: ${scopes}`)
  t.equal((await type('api', ['api:read'])).status, 201)
  t.equal((await type('new', ['api:read', 'scim:read'])).status, 201)
  const widen = (token = world.admin) =>
    ask('PATCH', `${types}/new`, { token, body: { allowed_scopes: null } })
  t.match(await widen(token), refused)
  t.equal((await widen()).status, 200, 'a platform administrator can')
  for (const name of ['api', 'mcp', 'scim'])
    await ask('PATCH', `/v1/token-types/${name}`, { body: { allowed_scopes: null } })
})

t.test('the platform organization has the platform’s types', async (t) => {
  const { status, body, headers } = await ask('POST', '/v1/organizations/platform/token-types', {
    body: { name: 'of-platform', prefix: 'op' },
  })
  t.match({ status, body }, { status: 201, body: { organization: null } })
  t.equal(headers.location, '/v1/token-types/of-platform')
  const writer = await world.manager(['policy:write'], 'platform')
  const path = '/v1/organizations/platform/token-types/of-platform'
  t.equal((await ask('DELETE', path, { token: writer })).status, 403)
  t.equal((await ask('DELETE', path)).status, 204)
})

t.test('types go with their organization', async (t) => {
  const { key, base, make } = await organization()
  await make({ name: 'own', prefix: 'own' })
  await world.issue({ type: 'own' }, key)
  await ask('POST', `${base}/suspend`)
  t.equal((await ask('DELETE', base)).status, 204)
})
