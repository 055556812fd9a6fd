// Cached decisions are renewed after every kind of change to every table that a decision reads.
import { randomBytes, randomUUID } from 'node:crypto'
import { exportJWK, generateKeyPair } from 'jose'
import t, { type Test } from 'tap'
import { generateSecret, Secret } from '../../src/shared/secret.ts'
import { staticSecretLookup } from '../../src/tokens/static-secret/static-secret.ts'
import { audience, startProvider } from '../issuers/provider.ts'
import { createTrustingWorld, trust } from '../issuers/trust.ts'
import { makeClient, withAssertion } from '../support/client.ts'
import { startInstance } from '../support/credentials.ts'
import { recordSecret } from '../support/records.ts'

const fixed = randomBytes(24).toString('base64url')
recordSecret(fixed)
const staticSecret = { secret: new Secret(fixed), organization: 'on-premises' }
const world = await createTrustingWorld(t, { staticSecret })
const { sql } = world
/** Another process, on which none of the changes are made. */
const other = await startInstance(t, world, { staticSecret: staticSecretLookup(world.db, staticSecret) })
await other.lease(true)

/** Whether the other process accepts a secret, first without and then with a cached answer. */
async function accepts(t: Test, secret: string, expected: boolean, when: string): Promise<void> {
  await other.credentials.settled()
  for (const from of ['the database', 'memory'])
    t.equal(await other.accepts(secret), expected, `${when}, from ${from}`)
}

const insertOrganization = (key = staticSecret.organization) =>
  sql(
    `insert into organizations (id, key, name, created_at, updated_at)
      values (gen_random_uuid(), $1, $1, now(), now())`,
    [key],
  )
const deleteOrganization = (key = staticSecret.organization) =>
  sql('delete from organizations where key = $1', [key])
const typeColumns =
  'name, prefix, carries_organization, format, default_scopes, audience, created_at, updated_at'
const insertType = () =>
  sql(
    `insert into token_types (${typeColumns}) values ('scim', 'scim', false, 'opaque', '{}', '{}', now(), now())`,
  )
const deleteType = () => sql("delete from token_types where name = 'scim'")

t.test('organizations: AUTH_SECRET', async (t) => {
  await accepts(t, fixed, false, 'without its organization')
  await insertOrganization()
  await accepts(t, fixed, true, 'after an insert')
  await sql("update organizations set suspended_at = now() where key = 'on-premises'")
  await accepts(t, fixed, false, 'after an update')
  await sql("update organizations set suspended_at = null where key = 'on-premises'")
  await accepts(t, fixed, true, 'after another one')
  await deleteOrganization()
  await accepts(t, fixed, false, 'after a delete')
  await insertOrganization()
  await accepts(t, fixed, true, 'made again')
})

t.test('token types: AUTH_SECRET', async (t) => {
  await accepts(t, fixed, true, 'before')
  await deleteType()
  await accepts(t, fixed, false, 'after a delete')
  await insertType()
  await accepts(t, fixed, true, 'after an insert')
  await sql("update token_types set suspended_at = now() where name = 'scim'")
  await accepts(t, fixed, false, 'after an update')
  await sql("update token_types set suspended_at = null where name = 'scim'")
  await accepts(t, fixed, true, 'after another one')
})

t.test('the static secret: changes through the API', async (t) => {
  const { ask } = world
  const path = '/v1/organizations/on-premises'
  await ask('POST', `${path}/suspend`)
  await ask('DELETE', path)
  await accepts(t, fixed, false, 'its organization deleted')
  t.same(await world.introspect(fixed), { active: false })
  await ask('POST', '/v1/organizations', { body: { key: 'on-premises', name: 'Again' } })
  await accepts(t, fixed, true, 'its organization made again')
  t.match(await world.introspect(fixed), { active: true })
  await ask('DELETE', '/v1/token-types/scim')
  await accepts(t, fixed, false, 'its type deleted')
  t.same(await world.introspect(fixed), { active: false })
  await ask('POST', '/v1/token-types', { body: { name: 'scim', prefix: 'scim' } })
  await accepts(t, fixed, true, 'its type made again')
  t.match(await world.introspect(fixed), { active: true })
})

t.test('organizations: tokens', async (t) => {
  await insertOrganization('gone')
  const { secret } = await world.issue({}, 'gone')
  await accepts(t, secret, true, 'before')
  await sql("update organizations set suspended_at = now() where key = 'gone'")
  await accepts(t, secret, false, 'after an update')
  await sql("update organizations set suspended_at = null where key = 'gone'")
  await accepts(t, secret, true, 'after another one')
  await deleteOrganization('gone')
  await accepts(t, secret, false, 'after a delete')
})

t.test('token types: tokens, which block the deletion of their type', async (t) => {
  const { secret } = await world.issue({ type: 'mcp' })
  await accepts(t, secret, true, 'before')
  await sql("update token_types set suspended_at = now() where name = 'mcp'")
  await accepts(t, secret, false, 'after an update')
  await sql("update token_types set suspended_at = null where name = 'mcp'")
  await t.rejects(sql("delete from token_types where name = 'mcp'"))
})

t.test('tokens', async (t) => {
  const known = generateSecret('api')
  const secret = known.reveal()
  recordSecret(secret)
  await accepts(t, secret, false, 'before')
  const id = randomUUID()
  await sql(
    `with token as (
      insert into tokens (organization_id, id, type, name, scopes, audience, metadata, created_at, created_by, updated_at)
      select id, $1, 'api', 'By hand', '{}', '{}', '{}', now(), '{}', now() from organizations where key = 'default'
      returning organization_id, id
    ) insert into token_secrets (organization_id, token_id, hash, hint, created_at)
      select organization_id, id, $2, '…', now() from token`,
    [id, known.hash()],
  )
  await accepts(t, secret, true, 'after an insert')
  await sql('update tokens set revoked_at = now() where id = $1', [id])
  await accepts(t, secret, false, 'after an update')
  await sql('update tokens set revoked_at = null where id = $1', [id])
  await accepts(t, secret, true, 'after another one')
  await sql('delete from tokens where id = $1', [id])
  await accepts(t, secret, false, 'after a delete')
})

t.test('owners', async (t) => {
  const owner = { subject: 'u-1', identity_source: 'sso' }
  const mine = [await world.issue({ owner }), await world.issue({ owner })]
  const others = [await world.issue({ owner: { subject: 'u-2' } }), await world.issue()]
  const acceptsMine = async (expected: boolean, when: string) => {
    for (const { secret } of mine) await accepts(t, secret, expected, when)
    for (const { secret } of others) await accepts(t, secret, true, `of others, ${when}`)
  }
  const path = '/v1/organizations/default/owners/u-1'
  await acceptsMine(true, 'before')
  await world.ask('POST', `${path}/suspend`)
  await acceptsMine(false, 'suspended')
  for (const { secret } of mine) t.same(await world.introspect(secret), { active: false })
  await world.ask('POST', `${path}/resume`)
  await acceptsMine(true, 'resumed')
  for (const { secret } of mine) t.match(await world.introspect(secret), { active: true })
  await sql("update owners set suspended_at = now() where subject = 'u-1'")
  await acceptsMine(false, 'after an update')
  await sql("delete from owners where subject = 'u-1'")
  await acceptsMine(true, 'after a delete')
  await sql(`insert into owners (organization_id, subject, identity_source, suspended_at, created_at, updated_at)
    select id, 'u-1', 'sso', now(), now(), now() from organizations where key = 'default'`)
  await acceptsMine(false, 'after an insert')
  await sql('truncate owners')
  await acceptsMine(true, 'after a truncate')
})

t.test('an owner with more tokens than are announced one by one', async (t) => {
  const { secret, id } = await world.issue({ owner: { subject: 'u-many' } })
  await sql(
    `with token as (
      insert into tokens (organization_id, id, type, name, owner_subject, owner_source, scopes, audience, metadata,
        created_at, created_by, updated_at)
      select organization_id, gen_random_uuid(), type, name, owner_subject, owner_source, scopes, audience, metadata,
        created_at, created_by, updated_at
      from tokens, generate_series(1, 300) where id = $1
      returning organization_id, id
    ) insert into token_secrets (organization_id, token_id, hash, hint, created_at)
      select organization_id, id, sha256(id::text::bytea), '…', now() from token`,
    [id],
  )
  await accepts(t, secret, true, 'before')
  await world.ask('POST', '/v1/organizations/default/owners/u-many/suspend')
  await accepts(t, secret, false, 'suspended')
})

t.test('token secrets', async (t) => {
  const { id, secret } = await world.issue()
  const [second, third] = [generateSecret('api'), generateSecret('api')]
  for (const one of [second, third]) recordSecret(one.reveal())
  await accepts(t, secret, true, 'before')
  await accepts(t, second.reveal(), false, 'before')
  await accepts(t, third.reveal(), false, 'before')
  await sql(
    `insert into token_secrets (organization_id, token_id, hash, hint, created_at)
      select organization_id, id, $2, '…', now() from tokens where id = $1`,
    [id, second.hash()],
  )
  await accepts(t, second.reveal(), true, 'after an insert')
  await sql('update token_secrets set hash = $2 where hash = $1', [second.hash(), third.hash()])
  await accepts(t, second.reveal(), false, 'after an update')
  await accepts(t, third.reveal(), true, 'after an update')
  await sql('delete from token_secrets where hash = $1', [third.hash()])
  await accepts(t, third.reveal(), false, 'after a delete')
  await accepts(t, secret, true, 'and its other one is as good as before')
})

t.test('client keys', async (t) => {
  const client = await makeClient(world)
  const { secret } = await world.issue()
  const status = async () =>
    (await client.introspect(secret, withAssertion(await client.sign({ jti: randomUUID() })))).status
  const jwks = (key: object) => JSON.stringify({ keys: [key] })
  const stranger = await exportJWK((await generateKeyPair('ES256', { extractable: true })).publicKey)
  t.equal(await status(), 200, 'before')
  await sql('update client_keys set jwks = $2 where token_id = $1', [client.id, jwks(stranger)])
  t.equal(await status(), 401, 'after an update')
  await sql('delete from client_keys where token_id = $1', [client.id])
  t.equal(await status(), 401, 'after a delete')
  await sql(
    `insert into client_keys (organization_id, token_id, jwks, created_at, updated_at)
      select organization_id, id, $2, now(), now() from tokens where id = $1`,
    [client.id, jwks(client.publicJwk)],
  )
  t.equal(await status(), 200, 'after an insert')
})

t.test('trusted issuers', async (t) => {
  const provider = await startProvider(t)
  const now = Math.floor(world.clock.now.getTime() / 1000)
  const token = await provider.sign({ iss: provider.issuer, aud: audience, sub: 'ada', exp: now + 600 })
  const status = async () => (await world.ask('GET', '/v1/organizations/default/tokens', { token })).status
  t.equal(await status(), 401, 'before')
  const { id } = await trust(world, provider, { default_permissions: ['tokens:read'] })
  t.equal(await status(), 200, 'after an insert')
  await sql("update trusted_issuers set default_permissions = '{}' where id = $1", [id])
  t.equal(await status(), 403, 'after an update')
  await sql('delete from trusted_issuers where id = $1', [id])
  t.equal(await status(), 401, 'after a delete')
})

t.test('policies', async (t) => {
  const create = async () =>
    (await world.ask('POST', '/v1/organizations/default/tokens', { body: { name: 'A', type: 'api' } })).status
  t.equal(await create(), 201, 'before')
  await sql(`update organizations set policy = '{"allowed_types": []}' where key = 'default'`)
  t.equal(await create(), 422, 'after an update')
  await sql(`update organizations set policy = '{}' where key = 'default'`)
  t.equal(await create(), 201, 'after another one')
})

t.test('creating an organization does not clear the cache', async (t) => {
  const { secret } = await world.issue()
  await accepts(t, secret, true, 'before')
  const before = other.credentials.lookups()
  await insertOrganization('newcomer')
  await other.credentials.settled()
  t.equal(await other.accepts(secret), true)
  t.equal(other.credentials.lookups(), before)
})

t.test('concurrent rotations do not clear the cache', async (t) => {
  const { secret } = await world.issue()
  const rotated = await Promise.all(Array.from({ length: 40 }, () => world.issue()))
  await accepts(t, secret, true, 'before')
  const before = other.credentials.lookups()
  await Promise.all(
    rotated.map(({ id }) => world.ask('POST', `/v1/organizations/default/tokens/${id}/rotate`, { body: {} })),
  )
  await other.credentials.settled()
  t.equal(await other.accepts(secret), true)
  t.equal(other.credentials.lookups(), before)
})

t.test('the feed reports when cached answers about AUTH_SECRET may be stale', async (t) => {
  const { body } = await world.ask('GET', '/v1/revocations')
  const told = async () =>
    (await world.ask('GET', `/v1/revocations?since=${body.cursor}`)).body.items.map(
      ({ reason, organization, type, hash }: any) => ({ reason, organization, type, hash }),
    )
  const ofType = { organization: null, type: 'scim', hash: null }
  await sql("update token_types set description = 'Other words' where name = 'scim'")
  t.same(await told(), [])
  await sql("update token_types set default_scopes = '{users}' where name = 'scim'")
  await sql("update token_types set audience = '{https://host.example}' where name = 'scim'")
  await deleteType()
  const expected = ['changed', 'changed', 'deleted'].map((reason) => ({ reason, ...ofType }))
  t.same(await told(), expected)
  await insertType()
})
