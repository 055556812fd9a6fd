// Tokens that exist elsewhere are imported by the hashes of their secrets, and then are tokens like any other.
import { randomBytes, randomUUID } from 'node:crypto'
import t from 'tap'
import { generateSecret, Secret } from '../../../src/shared/secret.ts'
import { startInstance } from '../../support/credentials.ts'
import { importInto, sha256 } from '../../support/import.ts'
import { recordSecret } from '../../support/records.ts'
import { until } from '../../support/until.ts'
import { createWorld, day } from '../../support/world.ts'

const staticSecret = { secret: new Secret('environment-secret-of-the-import-test'), organization: 'default' }
// Below debug, common introspections bypass Fastify.
const world = await createWorld(t, { logLevel: 'info', staticSecret })
const { ask, clock } = world
const url = await world.app.listen({ host: '127.0.0.1', port: 0 })
const base = '/v1/organizations/default'

const random = (length: number) =>
  randomBytes(2 * length)
    .toString('base64')
    .replaceAll(/[^0-9A-Za-z]/g, '')
    .slice(0, length)
    .padEnd(length, 'x')

/** Introspects over HTTP: on the fast path if it takes the request. */
async function introspect(token: string) {
  const response = await fetch(`${url}/introspect`, {
    method: 'POST',
    headers: { authorization: `Bearer ${world.admin}` },
    body: new URLSearchParams({ token }),
  })
  return (await response.json()) as any
}

async function imported(secret: string, more: object = {}, organization = 'default') {
  const line = { sha256: sha256(secret), type: 'api', name: `Imported ${random(6)}`, ...more }
  const { results, text } = await importInto(world, [line], { organization })
  if (results[0]?.status !== 'created') throw new Error(text)
  return { id: results[0].token as string, secret }
}

const events = async (query: string, organization = 'default') =>
  (await ask('GET', `/v1/organizations/${organization}/audit-events?${query}`)).body.items

const shapes: Record<string, () => string> = {
  GitLab: () => `glpat-${random(20)}`,
  'GitHub: our format with a checksum of its own': () => `ghp_${random(36)}`,
  'Stripe-like': () => `sk_live_${random(36)}`,
  Unkey: () => `prod_3Z${random(20)}`,
  'a UUID': () => randomUUID(),
  '64 hex digits': () => randomBytes(32).toString('hex'),
  base64: () => randomBytes(33).toString('base64'),
  'padded base64': () => randomBytes(32).toString('base64'),
  base64url: () => randomBytes(33).toString('base64url'),
  'with dots': () => `${random(20)}.${random(20)}.${random(20)}`,
  'another installation of this service': () => generateSecret('api').reveal(),
  'spaces and letters beyond ASCII': () => `correct ${random(12)} Grüße`,
}

t.test('a secret of any shape works at once, on every instance', async (t) => {
  const other = await startInstance(t, world)
  await other.lease(true)
  for (const [shape, make] of Object.entries(shapes)) {
    const secret = make()
    t.match(await introspect(secret), { active: false }, `${shape}: unknown before`)
    t.notOk(await other.accepts(secret))
    const { id } = await imported(secret, { prefix: secret.slice(0, 4) === 'ghp_' ? 'ghp_' : null })
    t.match(await introspect(secret), { active: true, client_id: id }, shape)
    await other.credentials.settled()
    t.ok(await other.accepts(secret), `${shape} elsewhere`)
  }
})

t.test('the checksum rejects only what was not imported', async (t) => {
  const fresh = await createWorld(t)
  const mistyped = () => `new_${random(36)}`
  const looksUp = async (secret: string) => {
    const before = fresh.credentials.lookups()
    await fresh.introspect(secret)
    return fresh.credentials.lookups() > before
  }
  // The prefixes are read when they are first needed, and until then every secret is looked up.
  await until(async () => !(await looksUp(mistyped())))
  t.notOk(await looksUp(mistyped()), 'without imports, our format with a wrong checksum costs no lookup')
  const secret = mistyped()
  await importInto(fresh, [{ sha256: sha256(secret), type: 'api', name: 'New', prefix: 'new_' }])
  t.match(await fresh.introspect(secret), { active: true })
  t.ok(await looksUp(mistyped()), 'secrets with a prefix that has imports are looked up')
  t.notOk(await looksUp(`other_${random(36)}`), 'others are not')
  await importInto(fresh, [{ sha256: sha256(random(40)), type: 'api', name: 'Of unknown shape' }])
  t.ok(await looksUp(`other_${random(36)}`), 'an import without a prefix may look like anything')
})

t.test(
  'another instance learns a prefix by notification, and asks the database while it cannot',
  async (t) => {
    const other = await startInstance(t, world, { cacheSize: 0 })
    await other.lease(true)
    const looksUp = async (secret: string) => {
      const before = other.credentials.lookups()
      await other.accepts(secret)
      return other.credentials.lookups() > before
    }
    await world.sql('truncate imported_prefixes')
    await other.credentials.verifyFresh(new Secret('x').hashText(), clock.now)
    while (await looksUp(`late_${random(36)}`)) await other.credentials.settled()
    t.notOk(await looksUp(`late_${random(36)}`))
    const [secret, unheard] = [`late_${random(36)}`, `lost_${random(36)}`]
    await imported(secret, { prefix: 'late_' })
    await until(() => looksUp(`late_${random(36)}`))
    t.ok(await other.accepts(secret))

    await imported(unheard, { prefix: 'lost_' })
    other.time.outlive()
    t.ok(await looksUp(`whatever_${random(36)}`), 'without the lease, every secret is looked up')
  },
)

t.test('a hundred prefixes are kept apart; past that, any secret may have been imported', async (t) => {
  await world.sql('truncate imported_prefixes')
  const lines = Array.from({ length: 250 }, (_, i) => ({
    sha256: sha256(random(40)),
    type: 'api',
    name: `Prefix ${i}`,
    prefix: `p${i}-`,
  }))
  t.match((await importInto(world, lines)).summary, { created: 250 })
  const { rows } = await world.sql('select prefix from imported_prefixes')
  t.ok(rows.some(({ prefix }) => prefix === ''))
  t.ok(rows.length <= 201)
})

const owner = { subject: 'u-4711', identity_source: 'ldap', email: 'ada@example.com' }

t.test('dates, owner, scopes, hint and the rest are kept', async (t) => {
  const secret = `acme_${random(40)}`
  const line = {
    name: 'Nightly report',
    comment: 'From the old table',
    owner,
    scopes: ['read'],
    metadata: { id: 17 },
    audience: ['https://api.example'],
    not_before: '2019-06-01T00:00:00.000Z',
    created_at: '2019-05-01T08:00:00.000Z',
    last_used_at: '2026-02-27T23:59:59.000Z',
    expires_at: '2027-01-01T00:00:00.000Z',
    hint: `acme_${secret.slice(5, 9)}...${secret.slice(-4)}`,
    prefix: 'acme_',
  }
  const { id } = await imported(secret, line)
  const {
    hint: _,
    prefix: __,
    owner: { email, ...named },
    ...kept
  } = line
  const token = (await ask('GET', `${base}/tokens/${id}`)).body
  t.match(token, { ...kept, owner: { ...named, email }, status: 'active' })
  t.equal(token.hint, `acme_${secret.slice(5, 9)}…${secret.slice(-4)}`)
  t.equal(token.updated_at, clock.now.toISOString())
  t.match(token.created_by, { type: 'token', name: 'Bootstrap administrator' })
  t.match(await introspect(secret), {
    active: true,
    scope: 'read',
    aud: ['https://api.example'],
    sub: 'u-4711',
    iat: Date.parse(line.created_at) / 1000,
    exp: Date.parse(line.expires_at) / 1000,
  })
  const listed = (await ask('GET', `${base}/tokens?created_to=2020-01-01T00:00:00Z`)).body.items
  t.same(
    listed.map((one: any) => one.id),
    [id],
    'lists go by the original dates',
  )
  t.match(await events(`target=${id}`), [
    {
      action: 'token.imported',
      on_behalf_of: 'u-4711',
      changes: { after: { scopes: ['read'], owner: 'u-4711', created_at: line.created_at } },
    },
  ])
  t.match((await ask('GET', `${base}/owners/u-4711`)).body, {
    email: 'ada@example.com',
    identity_source: 'ldap',
  })
})

t.test('what is left out has a default', async (t) => {
  const { id } = await imported(random(40), { hint: '', prefix: null, comment: null, expires_at: null })
  const token = (await ask('GET', `${base}/tokens/${id}`)).body
  t.match(token, { hint: '…', owner: null, comment: null, expires_at: null, scopes: [], last_used_at: null })
  t.equal(token.created_at, clock.now.toISOString())
  const named = (await ask('GET', `${base}/tokens/${(await imported(random(40), { prefix: 'abc-' })).id}`))
    .body
  t.equal(named.hint, 'abc-…')
  const started = await imported(random(40), { hint: 'abc-d' })
  t.equal((await ask('GET', `${base}/tokens/${started.id}`)).body.hint, 'abc-d…')
  await ask('PATCH', `${base}/policy`, { body: { name: { required: false } } })
  const nameless = await importInto(world, [
    { sha256: sha256(random(40)), type: 'api', hint: 'glpat-ab…wxyz' },
  ])
  const { name } = (await ask('GET', `${base}/tokens/${nameless.results[0].token}`)).body
  t.match(name, /^glpa\.\.[0-9A-Za-z]{11}\.\.wxyz$/, 'a generated name shows no more than the hint')
})

t.test('a token that has expired elsewhere is imported as expired', async (t) => {
  const secret = random(40)
  const { id } = await imported(secret, { expires_at: '2020-01-01T00:00:00Z' })
  t.match(await introspect(secret), { active: false })
  t.match((await ask('GET', `${base}/tokens/${id}`)).body, { status: 'expired' })
  const soon = random(40)
  const { id: next } = await imported(soon, {
    expires_at: new Date(clock.now.getTime() + 1000).toISOString(),
  })
  t.match(await introspect(soon), { active: true }, 'the minimum lifetime is for new tokens')
  t.match((await ask('GET', `${base}/tokens/${next}`)).body, { status: 'active' })
})

t.test(
  'an imported token rotates into our format, and its old secret stays good for the overlap',
  async (t) => {
    const { id, secret } = await imported(`glpat-${random(20)}`)
    const rotated = (await ask('POST', `${base}/tokens/${id}/rotate`, { body: { overlap_seconds: 60 } })).body
    recordSecret(rotated.secret)
    t.notOk(new Secret(rotated.secret).isMistyped())
    t.match(rotated.secret, /^api_/)
    t.match(await introspect(secret), { active: true, client_id: id })
    t.match(await introspect(rotated.secret), { active: true, client_id: id })
    clock.advance(61_000)
    t.match(await introspect(secret), { active: false })
    t.match(await introspect(rotated.secret), { active: true })
    await world.rotations.flush()
    const again = await importInto(world, [{ sha256: sha256(secret), type: 'api' }])
    t.match(again.results, [{ status: 'exists', token: id }], 'its old secret cannot be imported once more')
    clock.advance(200 * day)
    await world.rotations.flush()
    t.match((await importInto(world, [{ sha256: sha256(secret), type: 'api' }])).results, [
      { status: 'exists', token: id },
    ])
    t.match(await introspect(secret), { active: false })
  },
)

t.test('it is revoked, listed, suspended with its owner and deleted like any other', async (t) => {
  const byId = await imported(random(40))
  await ask('POST', `${base}/tokens/${byId.id}/revoke`)
  t.match(await introspect(byId.secret), { active: false })

  for (const secret of [`ghp_${random(36)}`, random(40)]) {
    const bySecret = await imported(secret, { prefix: secret.slice(0, 4) })
    t.equal((await ask('POST', '/revoke', { form: { token: secret } })).status, 200)
    t.match(await introspect(bySecret.secret), { active: false })
    t.match((await ask('GET', `${base}/tokens/${bySecret.id}`)).body, { status: 'revoked' })
  }

  const owned = await imported(random(40), { owner: { subject: 'u-suspended' } })
  t.match((await ask('GET', `${base}/tokens?owner=u-suspended`)).body.items, [{ id: owned.id }])
  await ask('POST', `${base}/owners/u-suspended/suspend`)
  t.match(await introspect(owned.secret), { active: false })
  t.match(
    (
      await importInto(world, [
        { sha256: sha256(random(40)), type: 'api', owner: { subject: 'u-suspended' } },
      ])
    ).results,
    [{ status: 'invalid', code: 'suspended' }],
  )
  await ask('POST', `${base}/owners/u-suspended/resume`)
  t.match(await introspect(owned.secret), { active: true })
  t.equal((await ask('DELETE', `${base}/tokens/${owned.id}`)).status, 204)
  t.match(await introspect(owned.secret), { active: false })
  const again = await imported(owned.secret)
  t.not(again.id, owned.id, 'a deleted token leaves nothing, and may be imported again')
})

t.test('its networks hold', async (t) => {
  const { secret } = await imported(random(40), { allowed_cidrs: ['192.0.2.7/24'] })
  t.match(await introspect(secret), { active: false })
  const form = { token: secret, client_ip: '192.0.2.9' }
  t.match((await ask('POST', '/introspect', { form })).body, { active: true })
})

t.test('its holder can use it here as well', async (t) => {
  const { id, secret } = await imported(`glpat-${random(20)}`)
  t.match(await ask('GET', '/v1/self', { token: secret }), { status: 200, body: { id } })
  t.match(await ask('POST', '/v1/self/revoke', { token: secret }), { status: 200 })
  t.match(await introspect(secret), { active: false })
})

t.test('importing again changes nothing, whatever the lines say', async (t) => {
  const lines = Array.from({ length: 230 }, (_, i) => ({
    sha256: sha256(random(40), 'base64'),
    type: 'api',
    name: `Again ${i}`,
  }))
  const [dry, first, second] = [
    await importInto(world, lines, { dryRun: true }),
    await importInto(world, lines),
    await importInto(world, [...lines.map((line) => ({ ...line, name: 'Changed', scopes: ['read'] }))]),
  ]
  t.match(dry.summary, { lines: 230, created: 230, exists: 0, invalid: 0, dry_run: true, complete: true })
  t.match(first.summary, { lines: 230, created: 230, dry_run: false, complete: true })
  t.same(
    second.results.map(({ status, token }) => [status, token]),
    first.results.map(({ token }) => ['exists', token]),
  )
  t.match((await ask('GET', `${base}/tokens/${first.results[0].token}`)).body, {
    name: 'Again 0',
    scopes: [],
  })
  t.same(
    first.results.map(({ line }) => line),
    lines.map((_, i) => i + 1),
  )
})

t.test('a hash that exists elsewhere is rejected in the same words, wherever that is', async (t) => {
  await ask('POST', '/v1/organizations', { body: { key: 'elsewhere', name: 'Elsewhere' } })
  const rotated = await world.issue()
  await ask('POST', `${base}/tokens/${rotated.id}/rotate`, { body: { overlap_seconds: 0 } })
  const foreign = random(40)
  await imported(foreign, {}, 'elsewhere')
  const rotatedElsewhere = random(40)
  const { id } = await imported(rotatedElsewhere, {}, 'elsewhere')
  await ask('POST', `/v1/organizations/elsewhere/tokens/${id}/rotate`, { body: { overlap_seconds: 0 } })
  const secrets = {
    'imported by another organization': foreign,
    'imported and rotated by another organization': rotatedElsewhere,
    'created by another organization': (await world.issue({}, 'elsewhere')).secret,
    'created by this organization': (await world.issue()).secret,
    'superseded in this organization': rotated.secret,
    'of the administrator': world.admin,
    AUTH_SECRET: staticSecret.secret.reveal(),
  }
  const admin = await world.manager(['tokens:write'], 'default')
  for (const dryRun of [true, false]) {
    const lines = Object.values(secrets).map((secret) => ({ sha256: sha256(secret), type: 'api' }))
    const { results } = await importInto(world, lines, { dryRun, token: admin })
    const [{ line: _, ...first }] = results
    t.match(first, { status: 'invalid', token: null, code: 'already_exists', errors: [{ field: 'sha256' }] })
    for (const [index, place] of Object.keys(secrets).entries())
      t.same(results[index], { line: index + 1, ...first }, place)
  }
})

t.test('of equal hashes in one request, the first counts, in a dry run too', async (t) => {
  const hash = sha256(random(40))
  const filler = Array.from({ length: 150 }, () => ({ sha256: sha256(random(40)), type: 'api' }))
  const lines = [
    { sha256: hash, type: 'nonsense' },
    { sha256: hash, type: 'api', name: 'First' },
    { sha256: Buffer.from(hash, 'hex').toString('base64url'), type: 'api', name: 'Second' },
    ...filler,
    { sha256: hash.toUpperCase(), type: 'api', name: 'In another batch' },
  ]
  const dry = await importInto(world, lines, { dryRun: true })
  const { results, summary } = await importInto(world, lines)
  t.same(summary, { lines: 154, created: 151, exists: 2, invalid: 1, dry_run: false, complete: true })
  t.same(dry.summary, { ...summary, dry_run: true })
  t.same(
    dry.results.map(({ status }) => status),
    results.map(({ status }) => status),
  )
  t.equal(results[2].token, results[1].token)
  t.equal(results[153].token, results[1].token)
})

t.test('a dry run stores nothing and locks nothing for later', async (t) => {
  const state = async () =>
    (
      await world.sql(`select (select count(*) from tokens) as tokens, (select count(*) from audit_events) as events,
        (select count(*) from owners) as owners, (select count(*) from imported_prefixes) as prefixes,
        (select count(*) from token_secrets) as secrets`)
    ).rows
  const before = await state()
  const secret = random(40)
  const { results } = await importInto(
    world,
    [{ sha256: sha256(secret), type: 'api', owner: { subject: 'u-dry' }, prefix: 'dry-' }],
    { dryRun: true },
  )
  t.match(results, [{ line: 1, status: 'created', token: null, warnings: [] }])
  t.same(await state(), before)
  t.match(await introspect(secret), { active: false })
})
