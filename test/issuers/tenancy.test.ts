// Which issuers count in which organizations.
import { randomUUID } from 'node:crypto'
import t from 'tap'
import { audience, startProvider } from './provider.ts'
import { createTrustingWorld, trust } from './trust.ts'

const world = await createTrustingWorld(t)
const { ask } = world
const provider = await startProvider(t)
const evil = await startProvider(t)
const organizations: Record<string, string> = {}
for (const key of ['acme', 'globex']) {
  const { body } = await ask('POST', '/v1/organizations', { body: { key, name: key } })
  organizations[key] = body.id
}
const now = Math.floor(world.clock.now.getTime() / 1000)
const token = (more: object = {}, by = provider) =>
  by.sign({ iss: provider.issuer, aud: audience, sub: 'ada', exp: now + 600, ...more })
const status = async (organization: string, token: string) =>
  (await ask('GET', `/v1/organizations/${organization}/tokens`, { token })).status
const withdraw = async (organization: string, { id }: { id: string }) =>
  ask('DELETE', `/v1/organizations/${organization}/issuers/${id}`)
const reader = { default_permissions: ['tokens:read'] }
const tenants = { claims: { organization: 'tenant' } }
const ofPlatform = { claims: { organization: null } }

t.test('an organization’s issuer counts only for that organization, by key or id', async (t) => {
  const one = await trust(world, provider, reader, 'acme')
  t.equal(await status('acme', await token()), 200)
  t.equal(await status(organizations.acme ?? '', await token()), 200)
  for (const organization of [
    'globex',
    'default',
    'platform',
    'nonesuch',
    organizations.globex ?? '',
    '%00',
    'A',
  ])
    t.equal(await status(organization, await token()), 401, organization)
  for (const url of ['/v1/token-types', '/v1/organizations', '/v1/self', '/v1/signing-keys'])
    t.equal((await ask('GET', url, { token: await token() })).status, 401, url)
  await withdraw('acme', one)
})

t.test(
  'registering another organization’s issuer gives no access to it and does not affect it',
  async (t) => {
    const mine = await trust(world, provider, reader, 'acme')
    // The same issuer and audience, with keys of the attacker's own and all permissions granted.
    const theirs = await trust(
      world,
      provider,
      {
        jwks_uri: `${evil.issuer}/jwks`,
        default_permissions: ['tokens:read', 'tokens:write', 'policy:write'],
      },
      'globex',
    )
    const forged = await token({}, evil)
    t.equal(await status('globex', forged), 200, 'their own organization is theirs to open')
    t.equal(await status('acme', forged), 401)
    t.equal(await status('acme', await token()), 200)
    t.equal(await status('globex', await token()), 401)
    await withdraw('acme', mine)
    await withdraw('globex', theirs)
  },
)

t.test('an issuer of the platform names the organization of each user', async (t) => {
  const one = await trust(world, provider, { ...reader, ...tenants }, 'platform')
  const ofAcme = await token({ tenant: 'acme' })
  t.equal(await status('acme', ofAcme), 200)
  t.equal(await status('globex', ofAcme), 404)
  t.equal(await status('nonesuch', ofAcme), 404)
  t.equal((await ask('GET', '/v1/token-types', { token: ofAcme })).status, 200)
  t.equal((await ask('GET', '/v1/organizations', { token: ofAcme })).status, 403)
  await withdraw('platform', one)
})

t.test('a user without an organization is rejected', async (t) => {
  const one = await trust(world, provider, { ...reader, ...tenants }, 'platform')
  for (const tenant of [undefined, null, '', 'nonesuch', 7, ['acme'], 'Platform', organizations.acme, 'a\0b'])
    t.match(
      await ask('GET', '/v1/organizations/acme/tokens', { token: await token({ tenant }) }),
      { status: 401, body: { code: 'invalid_token' } },
      String(tenant),
    )
  await withdraw('platform', one)
})

t.test('a tenant of the identity provider that calls itself platform is not the platform', async (t) => {
  const one = await trust(world, provider, { ...reader, ...tenants }, 'platform')
  for (const organization of ['platform', 'acme'])
    t.equal(await status(organization, await token({ tenant: 'platform' })), 401)
  await withdraw('platform', one)
})

t.test('users of the platform itself act on every organization, within their permissions', async (t) => {
  const admins = { group: 'admins', permissions: ['platform:admin'] }
  const one = await trust(
    world,
    provider,
    { ...reader, ...ofPlatform, group_permissions: [admins] },
    'platform',
  )
  t.equal(await status('acme', await token()), 200)
  const create = async (token: string) =>
    (await ask('POST', '/v1/organizations', { token, body: { key: 'made', name: 'Made' } })).status
  t.equal(await create(await token()), 403)
  t.equal(await create(await token({ groups: ['admins'] })), 201)
  t.equal(await create(await token({ groups: 'admins' })), 409, 'a single group may be a text')
  await withdraw('platform', one)
})

t.test("an organization cannot override the platform's registration of an issuer", async (t) => {
  const nothing = await trust(world, provider, {}, 'acme')
  t.equal(await status('acme', await token()), 403)
  const one = await trust(world, provider, { ...reader, ...ofPlatform }, 'platform')
  t.equal(await status('acme', await token()), 200)
  await withdraw('platform', one)
  await withdraw('acme', nothing)
})

t.test('a sign-in for two registered audiences of an organization is rejected', async (t) => {
  const one = await trust(world, provider, reader, 'acme')
  const another = await trust(world, provider, { ...reader, audience: 'another' }, 'acme')
  const elsewhere = await trust(world, provider, { ...reader, audience: 'account' }, 'globex')
  t.equal(await status('acme', await token({ aud: [audience, 'another'] })), 401)
  t.equal(await status('acme', await token({ aud: [audience, 'account'] })), 200)
  await withdraw('acme', one)
  await withdraw('acme', another)
  await withdraw('globex', elsewhere)
})

t.test('while an organization is suspended none of its users is good', async (t) => {
  const own = await trust(world, provider, reader, 'acme')
  const platforms = await trust(world, provider, { ...reader, ...tenants, audience: 'all' }, 'platform')
  const both = [await token(), await token({ aud: 'all', tenant: 'acme' })]
  for (const one of both) t.equal(await status('acme', one), 200)
  await ask('POST', '/v1/organizations/acme/suspend')
  for (const one of both) t.equal(await status('acme', one), 401)
  await ask('POST', '/v1/organizations/acme/resume')
  await withdraw('acme', own)
  await withdraw('platform', platforms)
})

t.test(
  'users of two issuers with the same subject are distinct in the change log and for retries',
  async (t) => {
    const own = { default_permissions: ['tokens:own'] }
    await trust(world, provider, own, 'acme')
    await trust(world, evil, own, 'acme')
    const key = randomUUID()
    const create = async (token: string) => {
      const headers = { 'idempotency-key': key }
      const body = { name: 'Once', type: 'api' }
      return (await ask('POST', '/v1/organizations/acme/tokens', { token, headers, body })).body
    }
    const [one, another] = [
      await create(await token()),
      await create(await token({ iss: evil.issuer }, evil)),
    ]
    t.not(one.id, another.id)
    t.same([one.created_by.issuer, another.created_by.issuer], [provider.issuer, evil.issuer])
  },
)
