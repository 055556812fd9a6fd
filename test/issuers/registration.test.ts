import { randomUUID } from 'node:crypto'
import t from 'tap'
import { clientSecretOf, rewrapClientSecrets } from '../../src/issuers/client.ts'
import { newMasterKey } from '../support/master-key.ts'
import { recordSecret } from '../support/records.ts'
import { createWorld, issuer as publicUrl } from '../support/world.ts'

const world = await createWorld(t)
const { ask, manager } = world
const issuers = '/v1/organizations/default/issuers'
const ofPlatform = '/v1/organizations/platform/issuers'
const minimal = { name: 'Acme sign-in', issuer: 'https://login.example/realms/acme', audience: 'counterfoil' }
const register = (more: object = {}, token?: string, url = issuers) =>
  ask('POST', url, { ...(token && { token }), body: { ...minimal, ...more } })
const refused = (field: string) => ({ status: 422, body: { errors: [{ in: 'body', field }] } })
let count = 0
const another = () => ({ issuer: `https://login-${++count}.example` })

t.test('a registration is read, listed, replaced and deleted, with change log events', async (t) => {
  const created = await register({ default_permissions: ['tokens:own'] })
  t.equal(created.status, 201)
  const { id, created_at, updated_at, redirect_uri, ...said } = created.body
  t.same(said, {
    ...minimal,
    jwks_uri: null,
    algorithms: ['RS256', 'PS256', 'ES256', 'EdDSA'],
    claims: { subject: 'sub', email: 'email', groups: 'groups', organization: null },
    default_permissions: ['tokens:own'],
    group_permissions: [],
    client_id: null,
    has_client_secret: false,
    scope: 'openid email',
  })
  const item = created.headers.location ?? ''
  t.same((await ask('GET', item)).body, created.body)
  t.same((await ask('GET', issuers)).body, { items: [created.body] })

  const group_permissions = [{ group: 'staff', permissions: ['tokens:read'] }]
  const body = { ...minimal, claims: { groups: 'roles' }, algorithms: ['ES256'], group_permissions }
  const stale = await ask('PUT', item, { body, headers: { 'if-match': '"7"' } })
  t.equal(stale.status, 412)
  const etag = created.headers.etag ?? ''
  const replaced = await ask('PUT', item, { body, headers: { 'if-match': etag } })
  t.match(replaced, {
    status: 200,
    body: { id, claims: { subject: 'sub', groups: 'roles' }, default_permissions: [], group_permissions },
  })
  t.not(replaced.headers.etag, etag)
  t.equal((await ask('PUT', item, { body })).headers.etag, replaced.headers.etag, 'nothing changes')
  t.equal((await ask('DELETE', item, { headers: { 'if-match': etag } })).status, 412)
  t.equal((await ask('DELETE', item)).status, 204)
  t.equal((await ask('GET', item)).status, 404)
  t.equal((await ask('DELETE', item)).status, 404)

  const { body: log } = await ask('GET', `/v1/organizations/default/audit-events?target=${id}`)
  t.match(log.items, [
    { action: 'trusted_issuer.deleted', target: { type: 'trusted_issuer', name: 'Acme sign-in' } },
    {
      action: 'trusted_issuer.updated',
      changes: {
        before: { default_permissions: ['tokens:own'], algorithms: ['RS256', 'PS256', 'ES256', 'EdDSA'] },
        after: { default_permissions: [], group_permissions, claims: { groups: 'roles' } },
      },
    },
    { action: 'trusted_issuer.created', changes: { before: {}, after: { jwks_uri: null, ...minimal } } },
  ])
  t.equal(log.items.length, 3)
})

t.test(
  'the client secret is encrypted, never shown, and never given to another issuer or client',
  async (t) => {
    const secret = randomUUID()
    recordSecret(secret)
    const body = { ...minimal, ...another(), client_id: 'console', client_secret: secret }
    const created = await register(body)
    const item = created.headers.location ?? ''
    const shown = { client_id: 'console', has_client_secret: true, scope: 'openid email' }
    t.match(created, { status: 201, body: shown })
    t.equal(created.body.redirect_uri, `${publicUrl}/console/sign-in/callback/${created.body.id}`)
    t.notOk(created.text.includes(secret))
    t.match(created.headers.etag, /./)
    const { client_secret, ...same } = body
    t.equal(
      (await ask('PUT', item, { body: same })).headers.etag,
      created.headers.etag,
      'left out: nothing changes',
    )
    const renewed = await ask('PUT', item, { body: { ...same, client_secret: 'another' } })
    t.not(renewed.headers.etag, created.headers.etag)
    for (const more of [{ issuer: another().issuer }, { client_id: 'other' }]) {
      const answer = await ask('PUT', item, { body: { ...same, ...more } })
      t.match(answer, refused('client_secret'), JSON.stringify(more))
      t.equal((await ask('PUT', item, { body: { ...same, ...more, client_secret: 'x' } })).status, 200)
      await ask('PUT', item, { body })
    }
    const none = { ...same, client_id: null }
    t.match(await ask('PUT', item, { body: { ...none, client_secret: 'x' } }), refused('client_secret'))
    t.match(await ask('PUT', item, { body: none }), { body: { client_id: null, has_client_secret: false } })
    t.match(await ask('PUT', item, { body: same }), {
      body: { client_id: 'console', has_client_secret: false },
    })
    const { body: log } = await ask('GET', `/v1/organizations/default/audit-events?target=${created.body.id}`)
    t.notOk(JSON.stringify(log).includes('client_secret'))
    for (const scope of ['email', 'openid  email', 'email openid', 'openid "x"', ''])
      t.equal((await register({ ...another(), scope })).status, scope === '' ? 201 : 400, scope)
  },
)

t.test('without a master key there is nothing to encrypt a client secret with', async (t) => {
  const { databaseUrl } = world
  const without = await createWorld(t, { databaseUrl, signing: { masterKeys: [] } })
  const body = { ...minimal, ...another(), client_id: 'console' }
  const post = (more: object) =>
    without.ask('POST', '/v1/organizations/default/issuers', {
      token: world.admin,
      body: { ...body, ...more },
    })
  t.match(await post({ client_secret: 'x' }), refused('client_secret'))
  t.equal((await post({})).status, 201, 'a public client needs none')
})

t.test('rewrap: client secrets are resealed under the new master key, all or none', async (t) => {
  const { id } = (await register({ ...another(), client_id: 'console', client_secret: 'to be kept' })).body
  const [masterKey] = world.signing.masterKeys
  const masterKeys = [newMasterKey(), ...world.signing.masterKeys]
  const stored = async () =>
    await world.db.selectFrom('trustedIssuers').selectAll().where('id', '=', id).executeTakeFirstOrThrow()
  await t.rejects(rewrapClientSecrets(world.db, { ...world.signing, masterKeys: masterKeys.slice(0, 1) }))
  t.equal(await clientSecretOf(await stored(), world.signing.masterKeys), 'to be kept')
  t.ok((await rewrapClientSecrets(world.db, { ...world.signing, masterKeys })) >= 1)
  t.equal(await clientSecretOf(await stored(), masterKeys.slice(0, 1)), 'to be kept')
  await t.rejects(clientSecretOf(await stored(), masterKey ? [masterKey] : []))
})

t.test('an organization registers an issuer once per audience', async (t) => {
  const [one, other] = [another(), another()]
  const first = await register(one)
  t.equal(first.status, 201)
  t.match(await register(one), { status: 409, body: { code: 'already_exists' } })
  t.equal((await register({ ...one, audience: 'another' })).status, 201)
  const second = await register(other)
  const body = { ...minimal, ...one }
  t.equal((await ask('PUT', second.headers.location ?? '', { body })).status, 409)
  t.equal((await ask('PUT', first.headers.location ?? '', { body })).status, 200)
})

t.test('of concurrent identical registrations one succeeds', async (t) => {
  const same = another()
  const answers = await Promise.all(Array.from({ length: 8 }, () => register(same)))
  t.same(answers.map(({ status }) => status).sort(), [201, ...Array(7).fill(409)])
})

t.test('callers cannot grant through an issuer what they do not hold', async (t) => {
  const grants = { default_permissions: ['tokens:read'] }
  const policy = ['policy:read', 'policy:write']
  const lacks = async (scopes: string[], more: object) => {
    const { status, headers } = await register({ ...another(), ...more }, await manager(scopes))
    return status === 201 ? undefined : /scope="(.*)"/.exec(String(headers['www-authenticate']))?.[1]
  }
  t.equal(await lacks(['tokens:write', 'tokens:read'], grants), 'policy:write')
  t.equal(await lacks(policy, {}), undefined)
  t.equal(await lacks([...policy, 'tokens:read'], grants), 'tokens:write', 'as for making a token')
  t.equal(await lacks([...policy, 'tokens:write'], grants), 'tokens:read')
  t.equal(await lacks([...policy, 'tokens:write', 'tokens:read'], grants), undefined)
  const group_permissions = [{ group: 'staff', permissions: ['audit:read'] }]
  t.equal(await lacks([...policy, 'tokens:write'], { group_permissions }), 'audit:read')
})

t.test('callers cannot take over an issuer that grants more by changing its keys', async (t) => {
  const created = await register({ ...another(), default_permissions: ['audit:read'] })
  const token = await manager(['policy:read', 'policy:write', 'tokens:write'])
  const { id, created_at, updated_at, redirect_uri, has_client_secret, ...body } = created.body
  const change = { ...body, jwks_uri: 'https://evil.example/jwks' }
  const answer = await ask('PUT', created.headers.location ?? '', { token, body: change })
  t.match(answer, { status: 403, body: { code: 'insufficient_scope' } })
  t.equal((await ask('GET', created.headers.location ?? '')).body.jwks_uri, null)
  const less = { ...body, default_permissions: [] }
  t.equal((await ask('PUT', created.headers.location ?? '', { token, body: less })).status, 200)
})

t.test('platform:admin is for users who belong to the platform itself', async (t) => {
  const everything = { ...another(), default_permissions: ['platform:admin'] }
  const group_permissions = [{ group: 'staff', permissions: ['platform:admin'] }]
  t.match(await register(everything), refused('default_permissions'))
  t.match(await register({ ...another(), group_permissions }), refused('group_permissions'))
  const tenants = { claims: { organization: 'tenant' } }
  t.match(
    await register({ ...everything, ...tenants }, undefined, ofPlatform),
    refused('default_permissions'),
  )
  const own = { claims: { organization: null } }
  t.equal((await register({ ...everything, ...own }, undefined, ofPlatform)).status, 201)
  const token = await manager(['policy:write', 'tokens:write'], 'platform')
  t.equal((await register({ ...everything, ...another(), ...own }, token, ofPlatform)).status, 403)
})

t.test('in the platform organization the organization claim is required, elsewhere it is not', async (t) => {
  t.match(await register(another(), undefined, ofPlatform), refused('claims.organization'))
  t.equal((await register({ ...another(), claims: { organization: null } })).status, 201)
  t.match(
    await register({ ...another(), claims: { organization: 'tenant' } }),
    refused('claims.organization'),
  )
})

t.test("URLs inside the operator's network cannot be registered", async (t) => {
  for (const url of [
    'http://login.example',
    'http://127.0.0.1:8080',
    'https://127.0.0.1',
    'https://127.1',
    'https://0x7f000001',
    'https://2130706433',
    'https://[::1]',
    'https://[::ffff:10.0.0.1]',
    'https://[fd00::1]',
    'https://10.0.0.1',
    'https://169.254.169.254/latest',
    'https://100.64.0.1',
    'https://user:secret@login.example',
  ]) {
    t.match(await register({ issuer: url }), refused('issuer'), url)
    t.match(await register({ ...another(), jwks_uri: `${url}/jwks` }), refused('jwks_uri'), url)
  }
  for (const jwks_uri of ['file:///etc/passwd', 'gopher://x', 'data:application/json,{}', 'x', 'https://a#b'])
    t.match(await register({ ...another(), jwks_uri }), refused('jwks_uri'), jwks_uri)
})

t.test(
  'malformed issuer identifiers (RFC 8414 §2) and unknown permissions are rejected by name',
  async (t) => {
    const broken: Record<string, object> = {
      issuer: { issuer: 'https://login.example?tenant=1' },
      audience: { audience: '' },
      algorithms: { algorithms: ['HS256'] },
      'algorithms.0': { algorithms: ['none'] },
      default_permissions: { default_permissions: ['everything'] },
      claims: { claims: { sub: 'sub' } },
      jwks_uri: { jwks_uri: 7 },
    }
    for (const [field, more] of Object.entries(broken)) {
      const answer = await register(more)
      t.equal(answer.status, 400, field)
      t.ok(answer.body.errors[0].field.startsWith(field.split('.')[0]), field)
    }
    for (const issuer of [
      'login.example',
      'https://login.example#x',
      'https://',
      'https://login.example/a b',
    ])
      t.ok([400, 422].includes((await register({ issuer })).status), issuer)
    t.equal((await register({ algorithms: [] })).status, 400)
  },
)

t.test('an organization has at most a hundred trusted issuers', async (t) => {
  await ask('POST', '/v1/organizations', { body: { key: 'many', name: 'Many' } })
  const url = '/v1/organizations/many/issuers'
  for (let n = 0; n < 100; n++) t.equal((await register(another(), undefined, url)).status, 201)
  t.match(await register(another(), undefined, url), { status: 409, body: { code: 'limit_reached' } })
  t.equal((await ask('GET', url)).body.items.length, 100)
})

t.test('trusted issuers are deleted with their organization', async (t) => {
  await ask('POST', '/v1/organizations/many/suspend')
  t.equal((await ask('DELETE', '/v1/organizations/many')).status, 204)
  const { rows } = await world.sql('select count(*)::int as left from trusted_issuers where issuer = $1', [
    `https://login-${count}.example`,
  ])
  t.same(rows, [{ left: 0 }])
})
