// An owner is suspended: all that they have stops at once, comes back when they are resumed, and nothing new is made.
// That other instances notice is in test/introspection/invalidation.test.ts.
import { getListFromStatusListJWT, getStatusListFromJWT } from '@sd-jwt/jwt-status-list'
import t from 'tap'
import { audience, startProvider } from '../issuers/provider.ts'
import { createTrustingWorld, trust } from '../issuers/trust.ts'

const world = await createTrustingWorld(t)
const base = '/v1/organizations/default'
const act = (subject: string, action: string, token = world.admin) =>
  world.ask('POST', `${base}/owners/${subject}/${action}`, { token })
const create = (subject: string) =>
  world.ask('POST', `${base}/tokens`, { body: { name: 'New', type: 'api', owner: { subject } } })

t.test('suspending and resuming shows in the record and the change log', async (t) => {
  await create('u-1')
  t.match(await act('u-1', 'suspend'), {
    status: 200,
    body: { subject: 'u-1', suspended_at: world.clock.now.toISOString() },
  })
  const { headers } = await act('u-1', 'suspend')
  t.equal(headers.etag, '"2"', 'twice is as once')
  t.match(await act('u-1', 'resume'), { status: 200, body: { suspended_at: null } })
  t.equal((await act('u-1', 'resume')).headers.etag, '"3"')
  const { items } = (await world.ask('GET', `${base}/audit-events?target=u-1`)).body
  t.same(
    items.map(({ action }: any) => action),
    ['owner.resumed', 'owner.suspended'],
  )
  t.equal((await act('u-unknown', 'suspend')).status, 404)
})

t.test('an owner of tokens from before there were records can be suspended', async (t) => {
  const { secret } = await world.issue({ owner: { subject: 'u-old', identity_source: 'ldap' } })
  await world.sql("delete from owners where subject = 'u-old'")
  t.match(await act('u-old', 'suspend'), { status: 200, body: { identity_source: 'ldap' } })
  t.same(await world.introspect(secret), { active: false })
})

t.test('a create for a suspended owner is rejected, and the form says so', async (t) => {
  await create('u-2')
  await act('u-2', 'suspend')
  const refused = await create('u-2')
  t.match(refused, { status: 409, body: { code: 'suspended', detail: /u-2/ } })
  const { creation } = (await world.ask('GET', `${base}/tokens/options?owner=u-2`)).body
  t.same(creation, { allowed: false, code: 'suspended', reason: refused.body.detail })
  await act('u-2', 'resume')
  t.equal((await create('u-2')).status, 201)
})

t.test('their management tokens and sign-ins do not work either', async (t) => {
  const owner = { subject: 'u-3' }
  const token = await world.manager(['tokens:write', 'tokens:own'], 'default', { owner })
  const provider = await startProvider(t)
  await trust(world, provider, { default_permissions: ['tokens:read', 'tokens:write'] })
  const exp = Math.floor(world.clock.now.getTime() / 1000) + 600
  const signIn = await provider.sign({ iss: provider.issuer, aud: audience, sub: 'u-3', exp })
  const list = (token: string) => world.ask('GET', `${base}/tokens`, { token })
  for (const one of [token, signIn]) t.equal((await list(one)).status, 200)
  await act('u-3', 'suspend')
  for (const one of [token, signIn]) t.equal((await list(one)).status, 401)
  t.equal((await act('u-3', 'resume', signIn)).status, 401, 'users cannot resume themselves')
  await act('u-3', 'resume')
  for (const one of [token, signIn]) t.equal((await list(one)).status, 200)
})

t.test('the feed names the owner in one event, to those who see the organization', async (t) => {
  await world.ask('POST', '/v1/organizations', { body: { key: 'other', name: 'Other' } })
  await create('u-4')
  const feed = async (query = '', token = world.admin) =>
    (await world.ask('GET', `/v1/revocations${query}`, { token })).body
  const { cursor } = await feed()
  for (let i = 0; i < 2; i++) await act('u-4', 'suspend')
  await act('u-4', 'resume')
  t.match((await feed(`?since=${cursor}`)).items, [
    { reason: 'suspended', organization: 'default', owner: 'u-4', type: null, token_id: null, hash: null },
  ])
  t.equal((await feed(`?since=${cursor}`)).items.length, 1)
  const server = (organization: string) => world.manager(['tokens:introspect'], organization)
  t.equal((await feed(`?since=${cursor}`, await server('default'))).items.length, 1)
  t.same((await feed(`?since=${cursor}`, await server('other'))).items, [])
})

t.test('their JWTs are marked in the status list while they are suspended', async (t) => {
  const type = { name: 'listed', format: 'jwt', audience: ['https://api.example'], status_list: true }
  await world.ask('POST', '/v1/token-types', { body: type })
  const { secret } = await world.issue({ type: 'listed', owner: { subject: 'u-5' } })
  const { idx, uri } = getStatusListFromJWT(secret)
  const status = async () => {
    world.clock.advance(60_000)
    const { text } = await world.ask('GET', new URL(uri).pathname, { token: '' })
    return getListFromStatusListJWT(text).getStatus(idx)
  }
  t.equal(await status(), 0)
  await act('u-5', 'suspend')
  t.equal(await status(), 1)
  await act('u-5', 'resume')
  t.equal(await status(), 0)
})

t.test("introspection shows the source in the owner's record", async (t) => {
  const { secret } = await world.issue({
    type: 'management',
    scopes: ['policy:write'],
    owner: { subject: 'u-6', identity_source: 'internal' },
  })
  const put = (sso_users: boolean, token: string) =>
    world.ask('PUT', `${base}/policy`, { token, body: { creation: { sso_users } } })
  await put(false, world.admin)
  t.equal((await put(true, secret)).status, 200, 'an internal user lifts the rule')
  await put(false, world.admin)
  await world.ask('PATCH', `${base}/owners/u-6`, { body: { identity_source: 'sso' } })
  t.match(await put(true, secret), { status: 403, body: { code: 'creation_disabled' } })
})
