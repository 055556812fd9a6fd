import t from 'tap'
import { createWorld, day } from '../support/world.ts'

const world = await createWorld(t)
const { ask, clock, sql } = world
for (const key of ['one', 'two']) await ask('POST', '/v1/organizations', { body: { key, name: key } })

const start = clock.now
const issue = (name: string, organization: string, body: object = {}) =>
  world.issue({ name, lifetime_days: 365, ...body }, organization)
const used = (id: string, days: number) =>
  sql('update token_uses set last_used_at = $1 where token_id = $2', [
    new Date(clock.now.getTime() - days * day),
    id,
  ])

const ada = { owner: { subject: 'ada' } }
await issue('Fresh', 'one')
const soon = await issue('Soon', 'one', { lifetime_days: 10, ...ada })
const sooner = await issue('Sooner', 'two', { lifetime_days: 5 })
const idle = await issue('Idle', 'two')
const idler = await issue('Idler', 'one', ada)
const gone = await issue('Gone', 'one', { lifetime_days: 3 })
await issue('For ever', 'two', { lifetime_days: null })
await ask('POST', `/v1/organizations/one/tokens/${gone.id}/revoke`)
for (const [token, days] of [
  [soon, 1],
  [sooner, 2],
  [idle, 100],
  [idler, 200],
  [gone, 300],
] as const)
  await used(token.id, days)

async function names(query: string, token = world.admin) {
  const found: string[] = []
  for (let next = `/v1/attention?${query}`; next; ) {
    const { status, body, headers, text } = await ask('GET', next, { token })
    if (status !== 200) throw new Error(text)
    found.push(...body.items.map(({ name }: { name: string }) => name))
    next = /<([^>]*)>/.exec(headers.link ?? '')?.[1] ?? ''
  }
  return found
}

t.test('tokens of all organizations are listed by what needs attention, most urgent first', async (t) => {
  for (const limit of ['', '&limit=1']) {
    t.same(await names(`reason=expiring&days=10${limit}`), ['Sooner', 'Soon'])
    t.same(await names(`reason=expiring&days=9${limit}`), ['Sooner'])
    t.same(await names(`reason=unused&days=90${limit}`), ['Idler', 'Idle'])
    t.same(await names(`reason=unused&days=150${limit}`), ['Idler'])
    const never = await names(`reason=never_used${limit}`)
    t.same(never.filter((name) => ['Fresh', 'For ever', 'Soon', 'Gone'].includes(name)).toSorted(), [
      'For ever',
      'Fresh',
    ])
  }
  t.same(await names('organization=one'), ['Soon'])
  clock.advance(6 * day)
  t.same(await names('reason=expiring'), ['Soon'], 'what has expired needs none')
  clock.now = start
})

t.test('they are counted, with the thresholds of the request', async (t) => {
  const counts = async (query = '', token = world.admin) =>
    (await ask('GET', `/v1/attention/counts${query}`, { token })).body
  const exactly = (count: number) => ({ count, more: false })
  t.match(await counts(), { expiring: exactly(2), unused: exactly(2) })
  t.match(await counts('?expiring_days=5&unused_days=101'), { expiring: exactly(1), unused: exactly(1) })
  t.same(await counts('?organization=two'), {
    expiring: exactly(1),
    never_used: exactly(1),
    unused: exactly(1),
    rotation_due: exactly(0),
  })
})

t.test('secrets older than the policy allows are due for rotation', async (t) => {
  const put = (key: string, body: object) => ask('PUT', `/v1/organizations/${key}/policy`, { body })
  const due = (query = '') => names(`reason=rotation_due${query}`)
  t.same(await due(), [], 'without a rule')
  await put('one', { rotation: { every_days: 90 } })
  clock.advance(89 * day)
  t.same(await due(), [])
  clock.advance(day)
  // Those that have expired or were revoked meanwhile need none.
  const expected = ['Fresh', 'Idler']
  for (const limit of ['', '&limit=1']) t.same((await due(limit)).toSorted(), expected)
  t.same(await due('&organization=two'), [])
  t.same(await names('reason=rotation_due', await world.manager(['tokens:own'], 'one', ada)), ['Idler'])
  const counted = (await ask('GET', '/v1/attention/counts')).body.rotation_due
  t.same(counted, { count: 2, more: false })
  t.equal((await ask('POST', `/v1/organizations/one/tokens/${idler.id}/rotate`)).status, 200)
  t.same(await due(), ['Fresh'], 'a new secret is not due')
  await put('two', { rotation: { every_days: 30 } })
  t.same((await due()).toSorted(), ['For ever', 'Fresh', 'Idle'], 'each organization has its own rule')
  for (const key of ['one', 'two']) await put(key, {})
  t.same(await due(), [])
  clock.now = start
})

t.test('callers see the organizations that they reach, and with tokens:own their own tokens', async (t) => {
  const reader = await world.manager(['tokens:read'], 'two')
  t.same(await names('reason=expiring', reader), ['Sooner'])
  const own = await world.manager(['tokens:own'], 'one', ada)
  t.same(await names('reason=expiring', own), ['Soon'])
  t.same(await names('reason=unused&days=90', own), ['Idler'])
  for (const url of ['/v1/attention?reason=unused', '/v1/attention/counts?']) {
    const status = async (token: string, query = '') => (await ask('GET', url + query, { token })).status
    t.equal(await status(''), 401)
    t.equal(await status(soon.secret), 403)
    t.equal(await status(await world.manager(['tokens:write'], 'one')), 403)
    t.equal(await status(reader, '&organization=one'), 404)
    t.equal(await status(reader, '&organization=two'), 200)
    t.match(await ask('GET', `${url}&colour=red`), { status: 400, body: { errors: [{ field: 'colour' }] } })
  }
  for (const query of ['reason=lost', 'days=0', 'days=4000', 'cursor=x'])
    t.equal((await ask('GET', `/v1/attention?${query}`)).status, 400, query)
})

t.test('a page examines a bounded number of tokens, and the next one continues there', async (t) => {
  await sql(
    `insert into tokens (organization_id, id, type, name, scopes, audience, metadata, revoked_at, created_at, created_by, updated_at)
       select organization.id, gen_random_uuid(), 'api', 'Bulk ' || i, '{}', '{}', '{}', case when i % 2500 > 0 then now() end,
         now(), '{"type":"system","id":"x","name":"x"}', now()
       from generate_series(1, 5000) i, organizations organization where organization.key = 'two'`,
  )
  await sql(
    `insert into token_secrets (hash, organization_id, token_id, hint, created_at)
       select sha256(id::text::bytea), organization_id, id, '', created_at from tokens where name like 'Bulk %'`,
  )
  const never = await names('reason=never_used&organization=two')
  t.same(never.filter((name) => name.startsWith('Bulk')).toSorted(), ['Bulk 2500', 'Bulk 5000'])
  const first = await ask('GET', '/v1/attention?reason=never_used&organization=two')
  t.ok(first.body.items.length < 50 && first.body.next_cursor !== null, 'a short page is not the last one')
})
