import t from 'tap'
import { createWorld, day } from '../support/world.ts'

const world = await createWorld(t)
const { ask, issue, clock } = world
const tokens = '/v1/organizations/default/tokens'
const at = (ms: number) => new Date(clock.now.getTime() + ms).toISOString()

t.test('creating a token shows its secret once and never again', async (t) => {
  const created = await ask('POST', tokens, {
    body: { name: 'Workday connector', type: 'api', scopes: ['read'] },
  })
  t.equal(created.status, 201)
  t.equal(created.headers['cache-control'], 'no-store')
  t.equal(created.headers.location, `${tokens}/${created.body.id}`)
  t.match(created.body.secret, /^api_[0-9A-Za-z]{36}$/)
  const hint = `${created.body.secret.slice(0, 8)}…${created.body.secret.slice(-4)}`
  t.equal(created.body.hint, hint)
  for (const url of [created.headers.location as string, tokens, '/v1/organizations/default/audit-events']) {
    const { status, text } = await ask('GET', url)
    t.equal(status, 200)
    t.notOk(text.includes(created.body.secret), url)
  }
})

t.test('only the SHA-256 hash of a secret is stored', async (t) => {
  const { id, secret } = await issue()
  const { rows } = await world.sql('select encode(hash, $1) as hash from token_secrets where token_id = $2', [
    'hex',
    id,
  ])
  const { createHash } = await import('node:crypto')
  t.same(rows, [{ hash: createHash('sha256').update(secret).digest('hex') }])
})

t.test('a token gets everything that was requested', async (t) => {
  const wanted = {
    name: 'Full',
    comment: 'CHG-1042',
    scopes: ['um:read', 'um:write'],
    audience: ['https://api.example'],
    metadata: { team: 'identity', tier: 2, paid: true, left: null },
    not_before: at(day),
    expires_at: at(30 * day),
  }
  const created = await issue({
    ...wanted,
    owner: { subject: 'u-1', email: 'u@example.org', identity_source: 'ldap' },
  })
  t.match(created, {
    ...wanted,
    owner: { subject: 'u-1', email: 'u@example.org', identity_source: 'ldap' },
    organization: 'default',
    type: 'api',
    status: 'not_yet_valid',
    created_at: clock.now.toISOString(),
    updated_at: clock.now.toISOString(),
    last_used_at: null,
    revoked_at: null,
    created_by: { type: 'token', name: 'Bootstrap administrator' },
  })
})

t.test('a lifetime in days is counted from now and shown in UTC', async (t) => {
  const { expires_at } = await issue({ lifetime_days: 182 })
  t.equal(expires_at, at(182 * day))
})

t.test('an expiry instant of another time zone is shown in UTC', async (t) => {
  const { expires_at } = await issue({ expires_at: '2027-01-01T01:30:00+02:00' })
  t.equal(expires_at, '2026-12-31T23:30:00.000Z')
})

t.test('neither lifetime nor expiry, or null, means never', async (t) => {
  t.equal((await issue()).expires_at, null)
  t.equal((await issue({ expires_at: null })).expires_at, null)
})

t.test('an invalid token is rejected, naming the field', async (t) => {
  const refused: [Record<string, unknown>, number, string][] = [
    [{ name: '' }, 422, 'name'],
    [{ name: '   ' }, 400, 'name'],
    [{ name: 'x'.repeat(1001) }, 400, 'name'],
    [{ type: undefined }, 422, 'type'],
    [{ type: 'nonesuch' }, 422, 'type'],
    [{ scopes: ['with space'] }, 400, 'scopes.0'],
    [{ scopes: 'read' }, 400, 'scopes'],
    [{ lifetime_days: 0 }, 400, 'lifetime_days'],
    [{ lifetime_days: '7' }, 400, 'lifetime_days'],
    [{ lifetime_days: 1.5 }, 400, 'lifetime_days'],
    [{ lifetime_days: 7, expires_at: at(7 * day) }, 422, 'expires_at'],
    [{ expires_at: at(day - 1) }, 422, 'expires_at'],
    [{ expires_at: 'tomorrow' }, 400, 'expires_at'],
    [{ expires_at: '2026-06-30T23:59:60Z' }, 400, 'expires_at'],
    [{ expires_at: at(2 * day), not_before: at(2 * day) }, 422, 'not_before'],
    [{ secret: 'mine' }, 400, 'secret'],
    [{ owner: { email: 'a@b.example' } }, 400, 'owner.subject'],
    [{ owner: { subject: 'u', identity_source: 'guess' } }, 400, 'owner.identity_source'],
    [{ metadata: { nested: { a: 1 } } }, 400, 'metadata.nested'],
    [{ comment: 'a NUL \0 in it' }, 400, 'comment'],
    [{ comment: 'a lone surrogate \ud800' }, 400, 'comment'],
  ]
  const before = (await ask('GET', `${tokens}?limit=200`)).body.items.length
  for (const [part, status, field] of refused) {
    const answer = await ask('POST', tokens, { body: { name: 'Refused', type: 'api', ...part } })
    t.match(answer, { status, body: { errors: [{ in: 'body', field }] } }, JSON.stringify(part).slice(0, 80))
  }
  t.equal((await ask('GET', `${tokens}?limit=200`)).body.items.length, before, 'nothing was made')
})

t.test('a token pasted into a comment is rejected and not repeated', async (t) => {
  const { secret } = await issue()
  const answer = await ask('POST', tokens, {
    body: { name: 'Oops', type: 'api', comment: `old one: ${secret}` },
  })
  t.match(answer, { status: 400, body: { errors: [{ field: 'comment' }] } })
  t.notOk(answer.text.includes(secret))
})

t.test('name and comment can be edited, nothing else', async (t) => {
  const { id } = await issue({ name: 'Before', comment: 'old' })
  clock.advance(1000)
  const renamed = await ask('PATCH', `${tokens}/${id}`, { body: { name: 'After' } })
  t.match(renamed, {
    status: 200,
    body: { name: 'After', comment: 'old', updated_at: clock.now.toISOString() },
  })
  const cleared = await ask('PATCH', `${tokens}/${id}`, { body: { comment: null } })
  t.match(cleared.body, { name: 'After', comment: null })
  for (const body of [{ type: 'scim' }, { scopes: ['x'] }, { secret: 'x' }, { expires_at: null }]) {
    t.equal((await ask('PATCH', `${tokens}/${id}`, { body })).status, 400, JSON.stringify(body))
  }
})

t.test('RFC 9110 §13.1.1: If-Match prevents lost updates', async (t) => {
  const { id } = await issue({ name: 'Guarded' })
  const read = await ask('GET', `${tokens}/${id}`)
  const headers = { 'if-match': read.headers.etag as string }
  const first = await ask('PATCH', `${tokens}/${id}`, { headers, body: { name: 'Mine' } })
  t.equal(first.status, 200)
  t.not(first.headers.etag, headers['if-match'])
  const second = await ask('PATCH', `${tokens}/${id}`, { headers, body: { name: 'Theirs' } })
  t.match(second, { status: 412, body: { code: 'precondition_failed' } })
  t.equal((await ask('DELETE', `${tokens}/${id}`, { headers })).status, 412)
  t.equal(
    (await ask('PATCH', `${tokens}/${id}`, { headers: { 'if-match': '*' }, body: { name: 'Any' } })).status,
    200,
  )
  t.equal(
    (await ask('PATCH', `${tokens}/${id}`, { headers: { 'if-match': 'W/"3"' }, body: { name: 'W' } })).status,
    412,
  )
  t.equal(
    (await ask('PATCH', `${tokens}/${id}`, { headers: { 'if-match': 'x' }, body: { name: 'X' } })).status,
    400,
  )
})

t.test('a change that changes nothing leaves the ETag and the change log alone', async (t) => {
  const { id } = await issue({ name: 'Same' })
  const before = await ask('GET', `${tokens}/${id}`)
  const after = await ask('PATCH', `${tokens}/${id}`, { body: { name: 'Same' } })
  t.equal(after.headers.etag, before.headers.etag)
  const events = await ask('GET', `/v1/organizations/default/audit-events?target=${id}`)
  t.same(
    events.body.items.map((event: any) => event.action),
    ['token.created'],
  )
})

t.test('a revoked token is inactive, and stays listed with who, when and why', async (t) => {
  const { id, secret } = await issue({ name: 'To revoke' })
  t.match(await world.introspect(secret), { active: true })
  clock.advance(1000)
  const revoked = await ask('POST', `${tokens}/${id}/revoke`, { body: { reason: 'Left the company' } })
  t.match(revoked, {
    status: 200,
    body: {
      status: 'revoked',
      revoked_at: clock.now.toISOString(),
      revoked_by: { name: 'Bootstrap administrator' },
      revoked_reason: 'Left the company',
    },
  })
  t.same(await world.introspect(secret), { active: false })
  clock.advance(1000)
  const again = await ask('POST', `${tokens}/${id}/revoke`, { body: { reason: 'Another reason' } })
  t.same(again.body, revoked.body, 'the first revocation stands')
})

t.test('a token can be revoked without a body', async (t) => {
  const { id } = await issue()
  t.match(await ask('POST', `${tokens}/${id}/revoke`), {
    status: 200,
    body: { status: 'revoked', revoked_reason: null },
  })
})

t.test('a deleted token is gone permanently, whatever its status', async (t) => {
  const active = await issue()
  const revoked = await issue()
  await ask('POST', `${tokens}/${revoked.id}/revoke`)
  const expired = await issue({ lifetime_days: 1 })
  clock.advance(2 * day)
  for (const { id, secret } of [active, revoked, expired]) {
    t.match(await ask('DELETE', `${tokens}/${id}`), { status: 204, text: '' })
    t.equal((await ask('GET', `${tokens}/${id}`)).status, 404)
    t.equal((await ask('DELETE', `${tokens}/${id}`)).status, 404)
    t.same(await world.introspect(secret), { active: false })
  }
})

t.test('status follows the clock', async (t) => {
  const { id, secret } = await issue({ not_before: at(day), expires_at: at(3 * day) })
  const seen = async () => [
    (await ask('GET', `${tokens}/${id}`)).body.status,
    (await world.introspect(secret)).active,
  ]
  t.same(await seen(), ['not_yet_valid', false])
  clock.advance(day - 1)
  t.same(await seen(), ['not_yet_valid', false])
  clock.advance(1)
  t.same(await seen(), ['active', true], 'good from not_before on')
  clock.advance(2 * day - 1)
  t.same(await seen(), ['active', true])
  clock.advance(1)
  t.same(await seen(), ['expired', false], 'no longer good at expires_at')
})

t.test('RFC 9562 §4: a token is found by its id in upper case too', async (t) => {
  const { id } = await world.issue()
  const url = `/v1/organizations/default/tokens/${id.toUpperCase()}`
  t.match(await world.ask('GET', url), { status: 200, body: { id } })
  t.match(await world.ask('POST', `${url}/revoke`), { status: 200, body: { id, status: 'revoked' } })
})

t.test('a token looks the same by the key and by the id of its organization', async (t) => {
  const { rows } = await world.sql("select id from organizations where key = 'default'")
  const { id, secret } = await issue({
    owner: { subject: 'u-4711', email: 'ada@example.com', identity_source: 'ldap' },
    comment: 'CHG-1042',
    metadata: { cost_centre: 4711 },
    not_before: at(0),
    expires_at: at(day),
  })
  await world.introspect(secret)
  await world.usage.flush()
  await ask('PATCH', `${tokens}/${id}`, { body: { allowed_cidrs: ['127.0.0.0/8', '10.0.0.0/8'] } })
  for (const reason of [undefined, 'left the company']) {
    if (reason) await ask('POST', `${tokens}/${id}/revoke`, { body: { reason } })
    const byKey = await ask('GET', `${tokens}/${id}`)
    const byId = await ask('GET', `/v1/organizations/${rows[0].id}/tokens/${id}`)
    t.match(byKey, {
      status: 200,
      body: { id, revoked_reason: reason ?? null, allowed_cidrs: { length: 2 } },
    })
    t.type(byKey.body.last_used_at, 'string')
    t.same(byKey.body, byId.body)
  }
})
