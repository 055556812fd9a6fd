import t from 'tap'
import { recordChanges } from '../http/changes.ts'
import { createWorld, day } from '../support/world.ts'

const world = await createWorld(t)
const changes = await recordChanges(world)
const { ask } = world
const url = '/v1/organizations/default/tokens'
const dryRun = `${url}?dry_run=true`
const policy = (body: object) => ask('PUT', '/v1/organizations/default/policy', { body })
const preview = (body: unknown, token = world.admin) => ask('POST', dryRun, { body, token })
const inDays = (days: number) => new Date(world.clock.now.getTime() + days * day).toISOString()

t.test('a dry run tells the expiry and the warnings, and changes nothing at all', async (t) => {
  await policy({ lifetime: { maximum_days: 365, on_too_long: 'reduce' }, limits: { active_per_owner: 1 } })
  const body = { name: ' Report ', type: 'mcp', owner: { subject: 'u-1' }, lifetime_days: 5000, comment: '' }
  await changes()
  const headers = { 'idempotency-key': '"b7a1c3a0-5a55-4d2e-9a11-6f6b1f3f2d10"' }
  for (let run = 0; run < 3; run++) {
    const answer = await ask('POST', dryRun, { body, headers })
    t.match(answer, {
      status: 200,
      headers: { location: undefined, etag: undefined },
      body: {
        organization: 'default',
        type: 'mcp',
        name: 'Report',
        comment: null,
        owner: { subject: 'u-1', identity_source: 'internal' },
        expires_at: inDays(365),
        expiry: { state: 'ok', days_left: 365 },
        warnings: [{ code: 'lifetime_reduced', requested: inDays(5000), granted: inDays(365) }],
      },
    })
    t.notOk('secret' in answer.body || 'id' in answer.body)
  }
  t.same(await changes(), {})
  const made = await ask('POST', url, { body, headers })
  t.match(made, { status: 201, body: { expires_at: inDays(365) } }, 'the key is still free')
  t.match(
    await preview(body),
    { status: 409, body: { code: 'limit_reached' } },
    'and now the limit is reached',
  )
  await policy({})
})

t.test('a dry run reports all errors at once', async (t) => {
  await ask('POST', '/v1/token-types', { body: { name: 'few', prefix: 'few', allowed_scopes: ['read'] } })
  await policy({
    lifetime: { maximum_days: 365, allow_no_expiry: false },
    name: { minimum_length: 8, unique: true },
    limits: { active_per_owner: 0 },
    creation: { sso_users: false },
  })
  const answer = await preview({
    name: 'short',
    type: 'few',
    comment: 7,
    owner: { subject: 'u-1', identity_source: 'sso' },
    scopes: ['write'],
    allowed_cidrs: ['nowhere'],
    narrowed_to: { types: ['api'] },
    lifetime_days: 5000,
    colour: 'red',
  })
  t.equal(answer.status, 400)
  const { errors, detail, code } = answer.body
  t.equal(code, 'invalid_request')
  t.match(detail, /^body (colour|comment) /)
  t.same(
    errors.map(({ field }: { field: string }) => field).toSorted(),
    ['', 'allowed_cidrs', 'colour', 'comment', 'lifetime_days', 'name', 'narrowed_to', 'scopes'],
    JSON.stringify(errors),
  )
  t.match(errors.find(({ field }: { field: string }) => field === 'scopes').detail, /can have read/)
  const rules = await preview({ name: 'short', type: 'few', scopes: ['write'] })
  t.match(rules, {
    status: 422,
    body: {
      code: 'invalid_value',
      errors: [{ field: 'name' }, { field: 'scopes' }, { field: 'expires_at' }],
    },
  })
  const create = await ask('POST', url, { body: { name: 'short', type: 'few', scopes: ['write'] } })
  t.same(
    create.body.errors,
    rules.body.errors,
    'a create tells as much of what the rules reject, without the database',
  )
  const nothing = await preview({})
  t.same(nothing.body.errors.map(({ field }: { field: string }) => field).toSorted(), [
    'expires_at',
    'name',
    'type',
  ])
  await policy({ name: { unique: true } })
  await ask('POST', url, { body: { name: 'Taken', type: 'api' } })
  const two = { name: 'taken', type: 'api', lifetime_days: 3, expires_at: inDays(3) }
  t.match((await preview(two)).body.errors, [{ field: 'expires_at' }, { field: 'name' }])
  await policy({})
})

t.test('many mistakes are as cheap and as safe as few', async (t) => {
  const body = Object.fromEntries(Array.from({ length: 60 }, (_, n) => [`member-${n}`, n]))
  const answer = await preview({ ...body, lifetime_days: 'abc', not_before: 7, expires_at: {} })
  t.equal(answer.status, 400)
  for (const wrong of [[], 'text', 7, null])
    t.equal((await preview(wrong)).status, 400, JSON.stringify(wrong))
  t.equal((await ask('POST', dryRun, { body: '{' })).status, 400)
  t.match(await ask('POST', `${url}?dry_run=maybe`, { body: { name: 'A token', type: 'api' } }), {
    status: 400,
    body: { errors: [{ in: 'query', field: 'dry_run' }] },
  })
  t.match(await ask('POST', `${url}?dryrun=true`, { body: { name: 'A token', type: 'api' } }), {
    status: 400,
    body: { errors: [{ in: 'query', field: 'dryrun' }] },
  })
  const { secret } = await world.issue()
  t.equal((await preview({ name: secret, type: 'api' })).status, 400, 'a pasted token')
})

t.test('a dry run needs the same permissions as the create', async (t) => {
  const body = { name: 'A token', type: 'api' }
  await ask('POST', '/v1/organizations', { body: { key: 'other', name: 'Other' } })
  const reader = await world.manager(['tokens:read'])
  t.equal((await preview(body, '')).status, 401)
  t.equal((await preview(body, (await world.issue()).secret)).status, 403)
  t.equal((await preview(body, reader)).status, 403)
  t.equal((await preview({}, reader)).status, 403)
  t.equal((await preview(body, await world.manager(['tokens:write'], 'other'))).status, 404)
  const writer = await world.manager(['tokens:write'])
  t.equal((await preview(body, writer)).status, 200)
  const admin = { name: 'A manager', type: 'management', scopes: ['audit:read'] }
  t.match(await preview(admin, writer), { status: 403, body: { code: 'insufficient_scope' } })
  const own = await world.manager(['tokens:own'], 'default', { owner: { subject: 'u-2' } })
  t.match(await preview(body, own), { status: 200, body: { owner: { subject: 'u-2' } } })
  t.equal((await preview({ ...body, owner: { subject: 'u-3' } }, own)).status, 403)
})

t.test('a dry run of a JWT is rejected without a master key, as its create is', async (t) => {
  const keyless = await createWorld(t, { databaseUrl: world.databaseUrl, signing: { masterKeys: [] } })
  await ask('POST', '/v1/token-types', { body: { name: 'signed', format: 'jwt' } })
  const body = { name: 'A token', type: 'signed' }
  t.equal((await preview(body)).status, 200)
  t.match(await keyless.ask('POST', dryRun, { token: world.admin, body }), {
    status: 409,
    body: { code: 'signing_unavailable' },
  })
})

t.test('tokens live from a minute on where the policy allows it', async (t) => {
  const create = (body: object) => ask('POST', url, { body: { name: 'CI job', type: 'api', ...body } })
  const tooShort = { status: 422, body: { detail: 'lifetime_seconds must be at least one day ahead' } }
  t.match(await create({ lifetime_seconds: 60 }), tooShort, 'a day is the default')
  t.equal((await create({ lifetime_seconds: 86_400 })).body.expires_at, inDays(1))
  t.match(await policy({ lifetime: { minimum_seconds: 59 } }), { status: 400 })
  t.equal((await policy({ lifetime: { minimum_seconds: 60, maximum_days: 1 } })).status, 200)
  const { secret, expires_at } = (await create({ lifetime_seconds: 60 })).body
  t.equal(expires_at, new Date(world.clock.now.getTime() + 60_000).toISOString())
  t.equal((await world.introspect(secret)).active, true)
  world.clock.advance(60_000)
  t.same(await world.introspect(secret), { active: false })
  const near = new Date(world.clock.now.getTime() + 90_000).toISOString()
  t.equal((await create({ expires_at: near })).body.expires_at, near)
  t.match(await create({ lifetime_seconds: 86_401 }), { status: 422 }, 'and no longer than the maximum')
  t.match(await create({ lifetime_seconds: 59 }), {
    status: 400,
    body: { errors: [{ field: 'lifetime_seconds' }] },
  })
  const { body } = await ask('GET', `${url}/options`)
  t.match(body.lifetime, { minimum_seconds: 60, presets: [] })
  const tightened = await ask('PUT', '/v1/organizations/default/policy?dry_run=true', {
    body: { lifetime: { minimum_seconds: 3600 } },
  })
  t.match(tightened.body.breaking_tokens.items, [{ name: 'CI job', rules: ['lifetime.minimum_seconds'] }])
  t.match(await create({ lifetime_seconds: 90, lifetime_days: 1 }), { status: 422 })
  await policy({ lifetime: { minimum_seconds: 90 * 60 } })
  t.match(await create({ lifetime_seconds: 60 }), {
    status: 422,
    body: { detail: /at least 90 minutes ahead/ },
  })
})
