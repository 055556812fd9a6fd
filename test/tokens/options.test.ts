import t from 'tap'
import { createWorld, day } from '../support/world.ts'

const world = await createWorld(t)
const base = '/v1/organizations/default'
const options = async (query = '', token?: string) =>
  world.ask('GET', `${base}/tokens/options${query}`, { ...(token && { token }) })
const inDays = (days: number) => new Date(world.clock.now.getTime() + days * day).toISOString()

await world.ask('POST', '/v1/token-types', {
  body: {
    name: 'um',
    prefix: 'pat',
    allowed_scopes: ['um:read', 'um:write'],
    default_scopes: ['um:read'],
    scopes_required: true,
    endpoint: 'https://host.example/{organization}/um',
  },
})

t.test('the options are everything that a form needs', async (t) => {
  const policy = {
    lifetime: { presets_days: [30, 60], maximum_days: 90, on_too_long: 'reduce', default_days: 30 },
    name: { required: false, minimum_length: 8 },
    limits: { active_per_owner: 2, active_per_organization: 10 },
    delete: { confirm_name: true },
    allowed_types: ['um', 'api'],
  }
  t.equal((await world.ask('PUT', `${base}/policy`, { body: policy })).status, 200)
  await world.issue({ name: 'The first', owner: { subject: 'u-1' } })
  const { status, body } = await options('?owner=u-1')
  t.equal(status, 200)
  t.same(body, {
    creation: { allowed: true, code: null, reason: null },
    types: [
      {
        name: 'api',
        description: 'For programs that call an API',
        allowed_scopes: null,
        default_scopes: [],
        scopes_required: false,
        scope_details: [],
        audience: [],
        endpoint: null,
      },
      {
        name: 'um',
        description: null,
        allowed_scopes: ['um:read', 'um:write'],
        default_scopes: ['um:read'],
        scopes_required: true,
        scope_details: [
          { scope: 'um:read', label: 'um:read', description: null },
          { scope: 'um:write', label: 'um:write', description: null },
        ],
        audience: [],
        endpoint: 'https://host.example/default/um',
      },
    ],
    lifetime: {
      presets: [
        { days: 30, expires_at: inDays(30) },
        { days: 60, expires_at: inDays(60) },
      ],
      latest_expires_at: inDays(90),
      minimum_days: 1,
      minimum_seconds: null,
      maximum_days: 90,
      on_too_long: 'reduce',
      allow_no_expiry: false,
      default_days: 30,
    },
    name: { required: false, minimum_length: 8, unique: false },
    delete: { confirm_name: true },
    limits: { owner: { limit: 2, active: 1, left: 1 }, organization: { limit: 10, active: 1, left: 9 } },
  })
  await world.issue({ name: 'The second', owner: { subject: 'u-1' } })
  const full = await options('?owner=u-1')
  t.match(full.body, { creation: { code: 'limit_reached' }, limits: { owner: { left: 0 } } })
  t.match((await options()).body, { creation: { allowed: true }, limits: { owner: null } })
})

t.test('every offered preset is granted exactly', async (t) => {
  const { body } = await options()
  for (const { days, expires_at } of body.lifetime.presets) {
    t.match(await world.issue({ name: 'A preset', lifetime_days: days }), { expires_at, warnings: [] })
  }
})

t.test('a suspended type is not offered', async (t) => {
  await world.ask('POST', '/v1/token-types/um/suspend')
  t.same(
    (await options()).body.types.map(({ name }: any) => name),
    ['api'],
  )
  await world.ask('POST', '/v1/token-types/um/resume')
})

t.test('only permissions that the caller can grant are offered', async (t) => {
  await world.ask('PUT', `${base}/policy`, { body: {} })
  const scopes = async (token?: string) =>
    (await options('', token)).body.types.find(({ name }: any) => name === 'management').allowed_scopes
  const writer = await world.manager(['tokens:write', 'audit:read'])
  t.same(await scopes(writer), ['tokens:write', 'audit:read'])
  t.notOk((await scopes()).includes('platform:admin'), 'which is for the platform organization only')
})

t.test('at least one scope is required if the policy or type says so', async (t) => {
  const create = (body: object) => world.ask('POST', `${base}/tokens`, { body: { name: 'Scoped', ...body } })
  const refusal = { status: 422, body: { errors: [{ in: 'body', field: 'scopes' }] } }
  t.match(await create({ type: 'um', scopes: [] }), refusal)
  t.match(await create({ type: 'um' }), { status: 201, body: { scopes: ['um:read'] } })
  t.equal((await create({ type: 'api' })).status, 201)
  await world.ask('PUT', `${base}/policy`, { body: { scopes: { required: true } } })
  t.match(await create({ type: 'api' }), refusal)
  t.equal((await create({ type: 'api', scopes: ['read'] })).status, 201)
  t.match((await options()).body.types, [{ scopes_required: true }, { scopes_required: true }])
})

t.test('a type that the policy does not allow is rejected by name', async (t) => {
  await world.ask('PUT', `${base}/policy`, { body: { allowed_types: ['scim'] } })
  const { status, body } = await world.ask('POST', `${base}/tokens`, { body: { name: 'X', type: 'api' } })
  t.match({ status, body }, { status: 422, body: { errors: [{ in: 'body', field: 'type' }] } })
})

t.test('readers, writers and owners see the options, others do not', async (t) => {
  await world.ask('PUT', `${base}/policy`, { body: {} })
  const reader = await world.manager(['tokens:read'])
  const writer = await world.manager(['tokens:write'])
  const owner = await world.manager(['tokens:own'], 'default', { owner: { subject: 'u-9' } })
  t.match(await options('', reader), { status: 200, body: { creation: { code: 'insufficient_scope' } } })
  t.match(await options('', writer), { status: 200, body: { creation: { allowed: true } } })
  t.match(await options('', owner), { status: 200, body: { creation: { allowed: true } } })
  t.match(await options('', await world.manager(['policy:read'])), { status: 403 })
})

t.test('JWTs are offered only where they can be signed', async (t) => {
  const offered = async ({ ask }: typeof world) =>
    (await ask('GET', `${base}/tokens/options`)).body.types.map(({ name }: { name: string }) => name)
  const signing = await createWorld(t)
  await signing.ask('POST', '/v1/token-types', { body: { name: 'jwt', format: 'jwt' } })
  t.same(await offered(signing), ['api', 'jwt', 'management', 'mcp', 'scim'])
  const { databaseUrl } = signing
  const bare = await createWorld(t, { databaseUrl, signing: { masterKeys: [] } })
  const ask: typeof bare.ask = (method, url) => bare.ask(method, url, { token: signing.admin })
  t.same(await offered({ ...bare, ask }), ['api', 'management', 'mcp', 'scim'])
})
