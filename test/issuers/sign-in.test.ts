// With tokens that a real OpenID provider issued in real flows.
import { randomUUID } from 'node:crypto'
import t from 'tap'
import { audience, startProvider } from './provider.ts'
import { createTrustingWorld, trust } from './trust.ts'

const world = await createTrustingWorld(t)
const { ask } = world
const provider = await startProvider(t)
const base = '/v1/organizations/default'
const tokens = `${base}/tokens`

const registration = await trust(world, provider, {
  default_permissions: ['tokens:own'],
  group_permissions: [
    { group: 'token-admins', permissions: ['tokens:read', 'tokens:write'] },
    { group: 'auditors', permissions: ['audit:read'] },
  ],
})
const item = `${base}/issuers/${registration.id}`
const ada = await provider.signIn('ada', { email: 'ada@example.com', groups: ['staff'] })

t.test('an access token (RFC 9068) signs a user in, who creates and sees their own tokens', async (t) => {
  const owner = { subject: 'ada', email: 'ada@example.com', identity_source: 'sso' }
  const created = await ask('POST', tokens, {
    token: ada.accessToken,
    body: { name: 'Mine', type: 'api', owner: { subject: 'ada', identity_source: 'internal' } },
  })
  t.match(created, { status: 201, body: { owner } })
  t.match(await world.introspect(created.body.secret), { active: true, sub: 'ada' })
  const theirs = await world.issue({ name: 'Theirs', owner: { subject: 'bob' } })
  const { body } = await ask('GET', tokens, { token: ada.accessToken })
  t.match(body, { items: [{ id: created.body.id }], creation: { allowed: true } })
  t.equal(body.items.length, 1)
  t.equal((await ask('GET', `${tokens}/${theirs.id}`, { token: ada.accessToken })).status, 404)
  const body2 = { name: 'For bob', type: 'api', owner: { subject: 'bob' } }
  t.equal((await ask('POST', tokens, { token: ada.accessToken, body: body2 })).status, 403)
})

t.test('changes by a user are attributed to the user and their issuer', async (t) => {
  const { body } = await ask('POST', tokens, {
    token: ada.accessToken,
    body: { name: 'Attributed', type: 'api' },
  })
  const actor = { type: 'user', id: 'ada', name: 'ada@example.com', issuer: provider.issuer }
  t.same(body.created_by, actor)
  const log = await ask('GET', `${base}/audit-events?actor=ada&target=${body.id}`)
  t.match(log.body.items, [{ action: 'token.created', actor, on_behalf_of: null }])
  const revoked = await ask('POST', `${tokens}/${body.id}/revoke`, { token: ada.accessToken })
  t.same(revoked.body.revoked_by, actor)
})

t.test('an ID token signs in where its audience is registered', async (t) => {
  t.equal((await ask('GET', tokens, { token: ada.idToken })).status, 401)
  await trust(world, provider, { audience: provider.clientId, default_permissions: ['tokens:read'] })
  t.equal((await ask('GET', tokens, { token: ada.idToken })).status, 200)
})

t.test('a program signs in by client credentials, as itself', async (t) => {
  const token = await provider.clientCredentials()
  const { status, body } = await ask('POST', tokens, { token, body: { name: 'Made', type: 'api' } })
  t.match({ status, body }, { status: 201, body: { owner: { subject: provider.clientId, email: null } } })
})

t.test('groups grant permissions, and users in no group have none', async (t) => {
  const { accessToken: token } = await provider.signIn('grace', { groups: ['token-admins', 'unheard-of'] })
  t.equal((await ask('GET', tokens, { token })).body.items.length > 1, true)
  const created = await ask('POST', tokens, { token, body: { name: 'Of a service', type: 'api' } })
  t.match(created, { status: 201, body: { owner: null } })
  t.equal((await ask('GET', `${base}/audit-events`, { token })).status, 403)
  t.equal((await ask('GET', `${base}/audit-events`, { token: ada.accessToken })).status, 403)
  const grant = { name: 'A manager', type: 'management', scopes: ['audit:read'] }
  t.equal((await ask('POST', tokens, { token, body: grant })).status, 403, 'nor can they grant it')
})

t.test('RFC 6750 §3.1: the permission that a user lacks is named in the challenge', async (t) => {
  const answer = await ask('GET', `${base}/policy`, { token: ada.accessToken })
  t.match(answer, { status: 403, body: { code: 'insufficient_scope' } })
  t.match(answer.headers['www-authenticate'], /scope="policy:read"/)
})

t.test('an unverified e-mail address is ignored', async (t) => {
  const unverified = { email: 'boss@example.com', email_verified: false }
  const { accessToken: token } = await provider.signIn('mallory', unverified)
  const { body } = await ask('POST', tokens, { token, body: { name: 'Mallory’s', type: 'api' } })
  t.match(body, { owner: { subject: 'mallory', email: null }, created_by: { name: 'mallory' } })
  t.equal((await world.introspect(body.secret)).username, undefined)
})

t.test(
  'if the policy disables creation for single sign-on users, their list stays readable and says so',
  async (t) => {
    const { accessToken: admin } = await provider.signIn('eve', { groups: ['token-admins'] })
    await ask('PUT', `${base}/policy`, { body: { creation: { sso_users: false } } })
    const create = (token: string, owner: object) =>
      ask('POST', tokens, { token, body: { name: 'Refused', type: 'api', ...owner } })
    const refusal = { status: 403, body: { code: 'creation_disabled' } }
    t.match(await create(ada.accessToken, {}), refusal)
    const itself = { owner: { subject: 'eve', identity_source: 'internal' } }
    t.match(await create(admin, itself), refusal, 'nor can they call themselves something else')
    for (const [token, query] of [
      [ada.accessToken, ''],
      [admin, '?owner=eve&owner_identity_source=internal'],
    ] as const) {
      const creation = { allowed: false, code: 'creation_disabled', reason: /single sign-on/ }
      t.match((await ask('GET', `${tokens}${query}`, { token })).body, { creation })
      t.match((await ask('GET', `${tokens}/options${query}`, { token })).body, { creation })
    }
    t.ok((await ask('GET', tokens, { token: ada.accessToken })).body.items.length > 0)
    await ask('PUT', `${base}/policy`, { body: {} })
  },
)

t.test('only /v1 accepts users: introspection and revocation by secret need a token', async (t) => {
  for (const url of ['/introspect', '/revoke']) {
    const answer = await ask('POST', url, { token: ada.accessToken, form: { token: 'x' } })
    t.match(answer, { status: 401, body: { error: 'invalid_token' } }, url)
  }
  t.same(await world.introspect(ada.accessToken), { active: false })
})

t.test(
  'a signed-in user can ask who they are, with which permissions and in which organization',
  async (t) => {
    const self = '/v1/self?organization=default'
    t.match(await ask('GET', self, { token: ada.accessToken }), {
      status: 200,
      headers: { etag: undefined },
      body: {
        issuer: provider.issuer,
        subject: 'ada',
        email: 'ada@example.com',
        identity_source: 'sso',
        organization: 'default',
        permissions: ['tokens:own'],
      },
    })
    const { accessToken: admin } = await provider.signIn('eve', { groups: ['token-admins'] })
    const { body } = await ask('GET', self, { token: admin })
    t.match(body, { subject: 'eve' })
    t.ok(body.permissions.includes('tokens:write'))
    const elsewhere = ['/v1/self', '/v1/self?organization=nowhere', `${self}&organization=default`]
    for (const url of elsewhere) t.equal((await ask('GET', url, { token: admin })).status, 401, url)
    t.equal((await ask('GET', self, { token: `${admin.slice(0, -8)}AAAAAAAA` })).status, 401)
    t.equal((await ask('GET', '/v1/token-types?organization=default', { token: admin })).status, 401)
    const { status, body: token } = await ask('GET', self)
    t.match({ status, token }, { status: 200, token: { type: 'management' } }, 'a token is what it is')
    t.match(await ask('GET', '/v1/self?organisation=default'), {
      status: 400,
      body: { errors: [{ in: 'query', field: 'organisation' }] },
    })
  },
)

t.test('a sign-in is not a Counterfoil token, and cannot be revoked as one', async (t) => {
  const { accessToken: token } = await provider.signIn('root', { groups: ['token-admins'] })
  await trust(world, provider, { claims: { organization: null } }, 'platform')
  const answer = await ask('POST', '/v1/self/revoke', { token })
  t.match(answer, { status: 404, body: { code: 'not_found' } })
  const [first] = (await ask('GET', '/v1/organizations/platform/issuers')).body.items
  await ask('DELETE', `/v1/organizations/platform/issuers/${first.id}`)
})

t.test('an Idempotency-Key belongs to one user', async (t) => {
  const { accessToken: bob } = await provider.signIn('bob')
  const key = randomUUID()
  const send = (token: string) =>
    ask('POST', tokens, {
      token,
      headers: { 'idempotency-key': key },
      body: { name: 'Once', type: 'api' },
    })
  const [first, again, another] = [await send(ada.accessToken), await send(ada.accessToken), await send(bob)]
  t.equal(again.body.secret, first.body.secret)
  t.match(another, { status: 201, body: { owner: { subject: 'bob' } } })
  t.not(another.body.id, first.body.id)
})

t.test('a change of the registration takes effect with the next request', async (t) => {
  const body = { name: 'Sign-in', issuer: provider.issuer, audience, default_permissions: ['tokens:read'] }
  t.equal((await ask('PUT', item, { body })).status, 200)
  const answer = await ask('POST', tokens, { token: ada.accessToken, body: { name: 'X', type: 'api' } })
  t.equal(answer.status, 403)
  t.ok((await ask('GET', tokens, { token: ada.accessToken })).body.items.length > 1)
  const signedIn = async (more: object) => {
    await ask('PUT', item, { body: { ...body, ...more } })
    return (await ask('GET', tokens, { token: ada.accessToken })).status
  }
  t.equal(await signedIn({ algorithms: ['ES256'] }), 401)
  t.equal(await signedIn({ audience: 'another' }), 401)
  t.equal(await signedIn({}), 200)
})

t.test('a new key of the provider is found without a restart', async (t) => {
  provider.rotate()
  // Unknown keys are not fetched again within half a minute, which keeps forged tokens from triggering fetch after
  // fetch.
  const { accessToken: early } = await provider.signIn('ada')
  const fetches = () => provider.calls.filter((path) => path === '/jwks').length
  const before = fetches()
  t.equal((await ask('GET', tokens, { token: early })).status, 401)
  t.equal(fetches(), before)
  const now = Date.now()
  t.intercept(Date, 'now', { value: () => now + 31_000 })
  const { accessToken: token } = await provider.signIn('ada')
  t.equal((await ask('GET', tokens, { token })).status, 200)
  t.equal((await ask('GET', tokens, { token: early })).status, 200)
  t.equal((await ask('GET', tokens, { token: ada.accessToken })).status, 401, 'the key before is gone')
  t.equal(fetches(), before + 1)
})

t.test('users of a deleted issuer cannot sign in, but their tokens remain', async (t) => {
  const { accessToken: token } = await provider.signIn('ada')
  t.equal((await ask('GET', tokens, { token })).status, 200)
  t.equal((await ask('DELETE', item)).status, 204)
  t.match(await ask('GET', tokens, { token }), { status: 401, body: { code: 'invalid_token' } })
  t.equal((await ask('GET', `${tokens}?owner=ada`)).body.items[0].status, 'active')
})
