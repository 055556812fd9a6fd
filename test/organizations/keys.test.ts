// The key of an organization can be the tenant id that a product has already.
import { randomBytes } from 'node:crypto'
import fc from 'fast-check'
import { decodeJwt } from 'jose'
import t from 'tap'
import { organizationKeyPattern } from '../../src/shared/organization-key.ts'
import { generateSecret, holdsSecret, maskSecrets, Secret } from '../../src/shared/secret.ts'
import { audience, startProvider } from '../issuers/provider.ts'
import { createTrustingWorld, trust } from '../issuers/trust.ts'
import { recordSecret } from '../support/records.ts'

const fixed = randomBytes(24).toString('base64url')
recordSecret(fixed)
const staticSecret = { secret: new Secret(fixed), organization: 'ON.premises' }
const world = await createTrustingWorld(t, { staticSecret })
const { ask } = world
const create = (key: string) => ask('POST', '/v1/organizations', { body: { key, name: 'A tenant' } })

const uuid = '3F2504E0-4F89-41D3-9A0C-0305E82C3301'
const keys = ['4711', 'Acme_Corp', 'acme.eu', 'a', 'org_01H-x', uuid, 'x'.repeat(64), '9.-_']

t.test('keys of products are kept as given, and found in any case', async (t) => {
  for (const key of keys) {
    const { status, headers, body } = await create(key)
    t.match({ status, body }, { status: 201, body: { key } }, key)
    t.equal(headers.location, `/v1/organizations/${key}`)
    for (const named of [key, key.toUpperCase(), key.toLowerCase(), body.id, body.id.toUpperCase()])
      t.match(
        await ask('GET', `/v1/organizations/${named}`),
        { status: 200, body: { key, id: body.id } },
        named,
      )
    for (const taken of [key.toUpperCase(), key.toLowerCase()])
      t.match(await create(taken), { status: 409, body: { code: 'already_exists' } }, taken)
  }
  t.match(await create('PLATFORM'), { status: 409 })
})

t.test('what cannot be in a path or a token is no key', async (t) => {
  for (const key of [
    '',
    '.',
    '..',
    '-a',
    '_a',
    '.a',
    'a/b',
    'a b',
    'a%2Fb',
    'ä',
    'a\n',
    '\u212a',
    'x'.repeat(65),
  ])
    t.match(await create(key), { status: 400, body: { errors: [{ field: 'key' }] } }, JSON.stringify(key))
})

t.test('a key is never the id of another organization', async (t) => {
  const { body: other } = await create('other')
  for (const id of [other.id, other.id.toUpperCase(), '00000000-0000-7000-8000-000000000000'])
    t.match(await create(id), { status: 409, body: { code: 'already_exists', detail: /id/ } }, id)
})

t.test('everything that names an organization takes its key in any case', async (t) => {
  const named = 'aCME_cORP'
  const base = `/v1/organizations/${named}`
  const policy = { allowed_types: null }
  t.equal((await ask('PUT', `${base}/policy`, { body: policy })).status, 200)
  const { id, secret, organization } = await world.issue({ owner: { subject: 'u-1' } }, named)
  t.equal(organization, 'Acme_Corp')
  for (const path of [
    '/tokens',
    `/tokens/${id}`,
    '/tokens/options',
    '/owners/u-1',
    '/audit-events',
    '/issuers',
  ])
    t.equal((await ask('GET', `${base}${path}`)).status, 200, path)
  t.equal((await ask('PATCH', `${base}/tokens/${id}`, { body: { name: 'Renamed' } })).status, 200)
  const gateway = { 'x-counterfoil-gateway': await world.manager(['tokens:introspect'], 'platform') }
  const verify = (organization: string) =>
    ask('GET', `/verify?organization=${organization}`, { token: secret, headers: gateway })
  t.match(await verify(named), { status: 200, headers: { 'x-token-organization': 'Acme_Corp' } })
  t.equal((await verify('acme.eu')).status, 401)
  const narrowed = (organizations: string[], token = world.admin) =>
    ask('POST', '/v1/organizations/platform/tokens', {
      token,
      body: { name: 'N', type: 'management', scopes: ['tokens:introspect'], narrowed_to: { organizations } },
    })
  const server = await narrowed([named, 'ACME_CORP'])
  t.same(server.body.narrowed_to, { organizations: ['Acme_Corp'] }, 'limits have the key as it is kept')
  recordSecret(server.body.secret)
  t.equal((await world.introspect(secret, server.body.secret)).active, true)
  const maker = await world.manager(['tokens:write', 'tokens:introspect'], 'platform', {
    narrowed_to: { organizations: ['ACME_CORP'] },
  })
  t.equal(
    (await ask('POST', `${base}/tokens`, { token: maker, body: { name: 'By it', type: 'api' } })).status,
    201,
  )
  const again = await narrowed(['acme_corp'], maker)
  t.match(again, { status: 201, body: { narrowed_to: { organizations: ['Acme_Corp'] } } }, 'what it holds')
  recordSecret(again.body.secret)
  t.match(await narrowed(['acme.eu'], maker), { status: 403 }, 'and no more')
})

t.test('an organization whose key is a UUID has a log, tokens and issuers of its own', async (t) => {
  const base = `/v1/organizations/${uuid.toLowerCase()}`
  const { id } = await world.issue({}, uuid)
  t.equal((await ask('GET', `${base}/tokens/${id}`)).body.organization, uuid)
  const { items } = (await ask('GET', `${base}/audit-events`)).body
  t.match(items, [{ action: 'token.created', target: { id } }])
  const stranger = await world.manager(['tokens:read', 'audit:read'])
  for (const path of ['/tokens', `/tokens/${id}`, '/audit-events'])
    t.equal((await ask('GET', `${base}${path}`, { token: stranger })).status, 404, path)
})

t.test('AUTH_SECRET is for the organization with that key in any case', async (t) => {
  await create('on.PREMISES')
  t.match(await world.introspect(fixed), { active: true, organization: 'on.PREMISES' })
})

t.test('a sign-in names an organization by its key, and never the platform', async (t) => {
  const provider = await startProvider(t)
  const claims = { organization: 'tenant' }
  await trust(world, provider, { claims, default_permissions: ['tokens:read'] }, 'platform')
  const exp = Math.floor(world.clock.now.getTime() / 1000) + 600
  const status = async (tenant: string, organization: string) => {
    const token = await provider.sign({ iss: provider.issuer, aud: audience, sub: 'ada', exp, tenant })
    return (await ask('GET', `/v1/organizations/${organization}/tokens`, { token })).status
  }
  for (const key of keys.slice(0, 6)) {
    t.equal(await status(key, key), 200, key)
    t.equal(await status(key.toUpperCase(), key.toLowerCase()), 200, key)
  }
  const { id } = (await ask('GET', '/v1/organizations/4711')).body
  for (const tenant of ['platform', 'Platform', '00000000-0000-7000-8000-000000000000', id])
    for (const organization of ['platform', '4711'])
      t.equal(await status(tenant, organization), 401, `${tenant} at ${organization}`)
})

const anyKey = fc.stringMatching(new RegExp(organizationKeyPattern))
const anyPrefix = fc.stringMatching(/^[a-z][a-z0-9]{0,5}(_[a-z0-9]{1,4}){0,2}$/)

t.test(
  'a secret with any prefix and key is recognised, and one with a slip is rejected unseen',
  async (t) => {
    fc.assert(
      fc.property(anyPrefix, anyKey, fc.nat(), (prefix, key, n) => {
        const secret = generateSecret(`${prefix}_${key}`)
        const text = secret.reveal()
        t.notOk(secret.isMistyped(), text)
        const at = prefix.length + (n % (text.length - prefix.length))
        const slip = text[at] === '0' ? '1' : '0'
        if (text[at] !== '_')
          t.ok(new Secret(text.slice(0, at) + slip + text.slice(at + 1)).isMistyped(), `${text} at ${at}`)
        t.ok(secret.hint().startsWith(`${prefix}_${key}_`), 'the hint shows all that is not random')
        for (const around of [
          text,
          `See ${text}.`,
          `https://host.example/?t=${text}&x=1`,
          `host.${text}`,
          `"${text}"`,
        ]) {
          t.ok(holdsSecret(around), around)
          t.notMatch(maskSecrets(around), text.slice(-36))
        }
      }),
    )
  },
)

t.test('a JWT whose signature ends like an opaque secret is not taken for a mistyped one', async (t) => {
  const [header, payload] = ['{"alg":"EdDSA"}', '{"sub":"ada"}'].map((part) =>
    Buffer.from(part).toString('base64url'),
  )
  const jwt = `${header}.${payload}.${'A'.repeat(49)}_${'0'.repeat(36)}`
  t.notOk(new Secret(jwt).isMistyped())
  t.equal(maskSecrets(`See ${jwt}.`), 'See [secret].')
})

t.test('any key comes back from every place that shows it', async (t) => {
  const gateway = { 'x-counterfoil-gateway': await world.manager(['tokens:introspect'], 'platform') }
  let n = 0
  await fc.assert(
    fc.asyncProperty(anyKey, anyPrefix, async (key, prefix) => {
      n += 1
      const made = await create(key)
      if (made.status === 409) return
      t.equal(made.status, 201, key)
      const endpoint = 'https://host.example/{organization}/scim'
      const type = { name: `type-${n}`, prefix, carries_organization: true, endpoint }
      await ask('POST', '/v1/token-types', { body: type })
      await ask('POST', '/v1/token-types', { body: { name: `jwt-${n}`, format: 'jwt' } })
      const token = await world.issue({ type: `type-${n}` }, key)
      const jwt = await world.issue({ type: `jwt-${n}` }, key)
      t.ok(token.secret.startsWith(`${prefix}_${key}_`), token.hint)
      t.equal(token.endpoint, `https://host.example/${key}/scim`)
      t.equal(decodeJwt(jwt.secret).organization, key)
      for (const { secret, type } of [token, jwt])
        t.match(await world.introspect(secret), { active: true, organization: key }, `${type}: ${token.hint}`)
      const verified = await ask('GET', `/verify?organization=${encodeURIComponent(key)}`, {
        token: token.secret,
        headers: gateway,
      })
      t.equal(verified.status, 200, key)
      t.equal(decodeURIComponent(verified.headers['x-token-organization'] ?? ''), key)
      t.equal(
        (await ask('GET', `/v1/organizations/${encodeURIComponent(key)}/tokens/${token.id}`)).status,
        200,
      )
      t.match((await ask('GET', '/metrics')).status, 200)
    }),
    { numRuns: 15, endOnFailure: true },
  )
})
