// An import gives no more than the policy and the importer's own access allow.
import t from 'tap'
import { importInto, sha256 } from '../../support/import.ts'
import { createWorld } from '../../support/world.ts'

const world = await createWorld(t)
const { ask } = world
let made = 0

async function organization(policy: object): Promise<string> {
  made += 1
  const key = `policy-${made}`
  await ask('POST', '/v1/organizations', { body: { key, name: key } })
  const answer = await ask('PATCH', `/v1/organizations/${key}/policy`, { body: policy })
  if (answer.status !== 200) throw new Error(answer.text)
  return key
}

const line = (more: object = {}) => {
  made += 1
  return { sha256: sha256(`secret under a policy ${made}`), type: 'api', name: `Imported ${made}`, ...more }
}

/** What the results say, after a dry run has said the same. */
async function results(lines: object[], key: string, more: { token?: string } = {}) {
  const dry = await importInto(world, lines, { organization: key, dryRun: true, ...more })
  const answer = await importInto(world, lines, { organization: key, ...more })
  const plain = (some: any[]) => some.map(({ token: _, ...rest }) => rest)
  t.same(plain(dry.results), plain(answer.results), 'a dry run says the same')
  return answer.results
}

const active = async (key: string) =>
  (
    await world.sql(
      `select count(*)::int as count from tokens join organizations on organizations.id = organization_id
      where key = $1 and revoked_at is null`,
      [key],
    )
  ).rows[0].count

t.test('lifetimes beyond the policy are rejected or reduced, as for new tokens', async (t) => {
  const refusing = await organization({
    lifetime: { maximum_days: 30, default_days: 30, allow_no_expiry: false },
  })
  t.match(
    await results(
      [line(), line({ expires_at: '2027-01-01T00:00:00Z' }), line({ expires_at: '2026-03-20T00:00:00Z' })],
      refusing,
    ),
    [
      { status: 'invalid', code: 'invalid_value', errors: [{ field: 'expires_at' }] },
      { status: 'invalid', errors: [{ field: 'expires_at', detail: /at most 30 days/ }] },
      { status: 'created', warnings: [] },
    ],
  )
  const reducing = await organization({
    lifetime: { maximum_days: 30, default_days: 30, allow_no_expiry: false, on_too_long: 'reduce' },
  })
  const reduced = {
    status: 'created',
    warnings: [{ code: 'lifetime_reduced', granted: '2026-03-31T12:00:00.000Z' }],
  }
  t.match(await results([line(), line({ expires_at: '2027-01-01T00:00:00Z' })], reducing), [reduced, reduced])
})

t.test('types, scopes and names follow the policy', async (t) => {
  const key = await organization({
    allowed_types: ['api'],
    name: { minimum_length: 5, unique: true },
    scopes: { required: true },
  })
  await world.issue({ name: 'Existing', scopes: ['read'] }, key)
  const lines = [
    line({ type: 'scim', scopes: ['read'] }),
    line(),
    line({ scopes: ['read'], name: 'abc' }),
    line({ scopes: ['read'], name: 'EXISTING' }),
    line({ scopes: ['read'], name: 'Ünique' }),
    line({ scopes: ['read'], name: 'ÜNIQUE' }),
  ]
  t.match(await results(lines, key), [
    { errors: [{ field: 'type', detail: /policy allows/ }] },
    { errors: [{ field: 'scopes', detail: /at least one/ }] },
    { errors: [{ field: 'name', detail: /at least 5/ }] },
    { code: 'name_taken' },
    { status: 'created' },
    { code: 'name_taken' },
  ])
})

t.test('JWTs cannot be imported', async (t) => {
  await ask('POST', '/v1/token-types', { body: { name: 'signed', format: 'jwt' } })
  const [result] = await results([line({ type: 'signed' })], 'default')
  t.match(result, { status: 'invalid', errors: [{ field: 'type', detail: /JWTs/ }] })
})

t.test('limits on active tokens are exact, beside creates and other imports', async (t) => {
  const key = await organization({ limits: { active_per_organization: 40, active_per_owner: 5 } })
  const owners = ['a', 'b', 'c']
  const owned = (count: number) =>
    Array.from({ length: count }, (_, i) => line({ owner: { subject: owners[i % owners.length] } }))
  const create = (owner?: object) =>
    ask('POST', `/v1/organizations/${key}/tokens`, {
      body: { name: 'Created', type: 'api', ...(owner && { owner }) },
    })
  await Promise.all([
    importInto(world, owned(60), { organization: key }),
    importInto(world, owned(60), { organization: key }),
    ...owners.map((subject) => create({ subject })),
  ])
  t.equal(await active(key), 15, 'five for each owner')
  const answers = await Promise.all([
    importInto(
      world,
      Array.from({ length: 30 }, () => line()),
      { organization: key },
    ),
    ...Array.from({ length: 10 }, () => create()),
  ])
  t.equal(await active(key), 40)
  const [{ results: last }] = answers as any
  t.ok(last.some(({ code }: any) => code === 'limit_reached'))
  const ended = line({ expires_at: '2020-01-01T00:00:00Z' })
  t.match(await results([ended], key), [{ status: 'created' }], 'a token that has expired takes no place')

  const perOwner = await organization({ limits: { active_per_owner: 2 } })
  await Promise.all(
    Array.from({ length: 4 }, () => importInto(world, [...owned(12), line()], { organization: perOwner })),
  )
  t.equal(await active(perOwner), 3 * 2 + 4)
})

t.test('tokens for single sign-on users are not imported where the policy does not allow them', async (t) => {
  const key = await organization({})
  await world.issue({ owner: { subject: 'known', identity_source: 'sso' } }, key)
  await ask('PATCH', `/v1/organizations/${key}/policy`, { body: { creation: { sso_users: false } } })
  const of = (subject: string, identity_source?: string) => line({ owner: { subject, identity_source } })
  t.match(
    await results(
      [of('known', 'ldap'), of('new', 'sso'), of('unknown'), of('new', 'ldap'), of('new'), of('new', 'sso')],
      key,
    ),
    [
      { status: 'invalid', code: 'creation_disabled' },
      { status: 'invalid', code: 'creation_disabled' },
      { status: 'invalid', errors: [{ field: 'owner.identity_source', detail: /is required/ }] },
      { status: 'created' },
      { status: 'created' },
      { status: 'invalid', code: 'creation_disabled' },
    ],
  )
  t.match((await ask('GET', `/v1/organizations/${key}/owners/known`)).body, { identity_source: 'sso' })
})

t.test('a suspended organization imports nothing, and a suspended type none of its tokens', async (t) => {
  const key = await organization({})
  await ask('POST', `/v1/organizations/${key}/suspend`)
  t.match(await importInto(world, [line()], { organization: key }), {
    status: 409,
    body: { code: 'suspended' },
  })
  await ask('POST', '/v1/token-types', { body: { name: 'paused', prefix: 'pau' } })
  await ask('POST', '/v1/token-types/paused/suspend')
  t.match(await results([line({ type: 'paused' }), line()], 'default'), [
    { status: 'invalid', code: 'suspended' },
    { status: 'created' },
  ])
})

t.test('callers reach only their own organization, and need tokens:write', async (t) => {
  const key = await organization({})
  const elsewhere = await world.manager(['tokens:write'], 'default')
  t.match(await importInto(world, [line()], { organization: key, token: elsewhere }), { status: 404 })
  for (const scopes of [['tokens:read'], ['tokens:own']]) {
    const token = await world.manager(scopes, key, { owner: { subject: 'u-1' } })
    t.match(await importInto(world, [line()], { organization: key, token }), {
      status: 403,
      body: { code: 'insufficient_scope' },
    })
  }
  t.match(await importInto(world, [line()], { organization: key, token: 'nonsense' }), { status: 401 })
})

t.test('a limited importer imports only within its limits', async (t) => {
  await ask('POST', '/v1/organizations', { body: { key: 'other', name: 'Other' } })
  const powers = ['tokens:write', 'tokens:introspect']
  const audience = 'https://a.example'
  const limited = {
    organizations: await world.manager(powers, 'platform', { narrowed_to: { organizations: ['other'] } }),
    audience: await world.manager(powers, 'platform', { narrowed_to: { audience: [audience] } }),
    types: await world.manager(powers, 'platform', { narrowed_to: { types: ['scim'] } }),
  }
  for (const [limit, token] of Object.entries(limited))
    t.match(
      await results([line()], 'default', { token }),
      [{ status: 'invalid', code: 'insufficient_scope' }],
      limit,
    )
  t.match(await results([line({ audience: [audience] })], 'default', { token: limited.audience }), [
    { status: 'created' },
  ])
  t.match(await results([line()], 'other', { token: limited.organizations }), [{ status: 'created' }])
})
