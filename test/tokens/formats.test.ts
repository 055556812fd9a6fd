import t from 'tap'
import { createWorld } from '../support/world.ts'

const world = await createWorld(t)
const { ask, issue } = world
const createType = (body: object) => ask('POST', '/v1/token-types', { body })

t.test('a type decides the prefix (I3)', async (t) => {
  await createType({ name: 'organization-scim', prefix: 'wxt' })
  const { secret, hint } = await issue({ type: 'organization-scim' })
  t.match(secret, /^wxt_[0-9A-Za-z]{36}$/)
  t.match(hint, /^wxt_[0-9A-Za-z]{4}…[0-9A-Za-z]{4}$/)
  t.match(await world.introspect(secret), { active: true, type: 'organization-scim' })
})

t.test('a type decides whether the token contains the organization (I4)', async (t) => {
  await createType({ name: 'platform-api', prefix: 'pat', carries_organization: true })
  await ask('POST', '/v1/organizations', { body: { key: 'acme-corp', name: 'Acme' } })
  const { secret } = await issue({ type: 'platform-api' }, 'acme-corp')
  t.match(secret, /^pat_acme-corp_[0-9A-Za-z]{36}$/)
  t.match(await world.introspect(secret), { active: true, organization: 'acme-corp' })
})

t.test('a type decides the endpoint, which every token of it shows (I8)', async (t) => {
  await createType({
    name: 'assistant',
    prefix: 'ai',
    endpoint: 'https://host.example/pp/mcp/v1/{organization}/mcp',
  })
  const { id, secret, endpoint } = await issue({ type: 'assistant' })
  t.equal(endpoint, 'https://host.example/pp/mcp/v1/default/mcp')
  t.equal((await ask('GET', `/v1/organizations/default/tokens/${id}`)).body.endpoint, endpoint)
  t.equal((await world.introspect(secret)).endpoint, endpoint)
})

t.test('a type decides the default scopes and audience', async (t) => {
  await createType({
    name: 'scoped',
    prefix: 'sc',
    allowed_scopes: ['um:read', 'um:write'],
    default_scopes: ['um:read'],
    audience: ['https://um.example'],
  })
  t.match(await issue({ type: 'scoped' }), { scopes: ['um:read'], audience: ['https://um.example'] })
  const refused = { name: 'Too much', type: 'scoped', scopes: ['um:read', 'um:bulk'] }
  const answer = await ask('POST', '/v1/organizations/default/tokens', { body: refused })
  t.match(answer, { status: 422, body: { errors: [{ field: 'scopes', detail: /um:bulk/ }] } })
})
