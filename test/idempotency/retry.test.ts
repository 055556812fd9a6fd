import { randomUUID } from 'node:crypto'
import t from 'tap'
import { deleteExpiredAnswers } from '../../src/idempotency/idempotency.ts'
import { createWorld, day } from '../support/world.ts'

const world = await createWorld(t)
const { ask, issue, clock, db } = world
const url = '/v1/organizations/default/tokens'
const create = (key: string, body: object, more: { token?: string; url?: string } = {}) =>
  ask('POST', more.url ?? url, {
    body: { type: 'api', ...body },
    headers: { 'idempotency-key': key },
    ...(more.token && { token: more.token }),
  })
const named = async (name: string) =>
  (await ask('GET', `${url}?search=${encodeURIComponent(name)}`)).body.items
const keysKept = () => db.selectFrom('idempotencyKeys').selectAll().execute()

t.test(
  'a retry gets the first response, including secret and headers, and creates no second token',
  async (t) => {
    const key = randomUUID()
    const first = await create(key, { name: 'Once', lifetime_days: 30 })
    t.equal(first.status, 201)
    t.equal(first.headers['idempotency-replayed'], undefined)
    clock.advance(day - 1)
    const retry = await create(key, { name: 'Once', lifetime_days: 30 })
    t.equal(retry.status, 201)
    t.same(retry.body, first.body)
    t.equal(retry.headers['idempotency-replayed'], 'true')
    for (const name of ['etag', 'location', 'content-type', 'cache-control']) {
      t.equal(retry.headers[name], first.headers[name], name)
    }
    t.equal((await named('Once')).length, 1)
    t.match(await world.introspect(retry.body.secret), { active: true, token_name: 'Once' })
    const events = await ask('GET', `/v1/organizations/default/audit-events?target=${first.body.id}`)
    t.equal(events.body.items.length, 1)
  },
)

t.test('a key is the same with and without quotes (RFC 9651 §3.3.3)', async (t) => {
  const key = randomUUID()
  const first = await create(`"${key}"`, { name: 'Quoted' })
  t.same((await create(key, { name: 'Quoted' })).body, first.body)
  const odd = await create('"a key \\"with\\" \\\\ spaces and quotes"', { name: 'Odd key' })
  t.equal(odd.status, 201)
})

t.test('the same key with another body is a 422 with its own code, and creates nothing', async (t) => {
  const key = randomUUID()
  await create(key, { name: 'This' })
  const other = await create(key, { name: 'That' })
  t.equal(other.status, 422)
  t.match(other.body, {
    code: 'idempotency_key_reused',
    errors: [{ in: 'header', field: 'idempotency-key' }],
  })
  t.same(await named('That'), [])
})

t.test('of 20 concurrent duplicates one creates the token, and all get its response', async (t) => {
  const key = randomUUID()
  const answers = await Promise.all(Array.from({ length: 20 }, () => create(key, { name: 'Race' })))
  t.same(new Set(answers.map(({ status }) => status)), new Set([201]))
  t.equal(new Set(answers.map(({ text }) => text)).size, 1)
  t.equal(answers.filter(({ headers }) => headers['idempotency-replayed'] === undefined).length, 1)
  t.equal((await named('Race')).length, 1)
})

t.test('of 20 concurrent requests with one key and two bodies, those of one body get a token', async (t) => {
  const key = randomUUID()
  const answers = await Promise.all(
    Array.from({ length: 20 }, (_, i) =>
      create(key, { name: i % 2 ? 'Left or right, left' : 'Left or right, right' }),
    ),
  )
  const made = answers.filter(({ status }) => status === 201)
  t.equal(made.length, 10)
  t.equal(new Set(made.map(({ text }) => text)).size, 1)
  t.ok(answers.every(({ status }) => status === 201 || status === 422))
  t.equal((await named('Left or right')).length, 1)
})

t.test('a failed request stores nothing: the same key can be tried again', async (t) => {
  const key = randomUUID()
  t.equal((await create(key, { name: 'Later', type: 'later' })).status, 422)
  await ask('POST', '/v1/token-types', { body: { name: 'later', prefix: 'later' } })
  t.equal((await create(key, { name: 'Later', type: 'later' })).status, 201)
})

t.test('a key belongs to one principal and one organization', async (t) => {
  const key = randomUUID()
  await ask('POST', '/v1/organizations', { body: { key: 'other', name: 'Other' } })
  const writer = await world.manager(['tokens:write'])
  const ids = [
    await create(key, { name: 'Mine' }),
    await create(key, { name: 'Mine' }, { token: writer }),
    await create(key, { name: 'Mine' }, { url: '/v1/organizations/other/tokens' }),
  ].map(({ body }) => body.id)
  t.equal(new Set(ids).size, 3)
})

t.test('a retry by the id of the organization instead of its key is the same request', async (t) => {
  const key = randomUUID()
  const { id } = (await ask('GET', '/v1/organizations/default')).body
  const first = await create(key, { name: 'By key' })
  t.same((await create(key, { name: 'By key' }, { url: `/v1/organizations/${id}/tokens` })).body, first.body)
})

t.test(
  'a retry does not recreate a token revoked or deleted in the meantime, and shows it as it was',
  async (t) => {
    const key = randomUUID()
    const first = await create(key, { name: 'Gone soon' })
    await ask('POST', `${url}/${first.body.id}/revoke`)
    t.same((await create(key, { name: 'Gone soon' })).body, first.body)
    t.same(await world.introspect(first.body.secret), { active: false })
    await ask('DELETE', `${url}/${first.body.id}`)
    t.same((await create(key, { name: 'Gone soon' })).body, first.body)
    t.same(await named('Gone soon'), [])
  },
)

t.test('a caller who may no longer create gets no stored response', async (t) => {
  const key = randomUUID()
  const writer = await issue({ name: 'Writer', type: 'management', scopes: ['tokens:write'] })
  await create(key, { name: 'By the writer' }, { token: writer.secret })
  await ask('POST', `${url}/${writer.id}/revoke`)
  t.equal((await create(key, { name: 'By the writer' }, { token: writer.secret })).status, 401)
})

t.test('after 24 hours the key can be used again', async (t) => {
  const key = randomUUID()
  const first = await create(key, { name: 'Daily' })
  clock.advance(day)
  const second = await create(key, { name: 'Daily' })
  t.equal(second.headers['idempotency-replayed'], undefined)
  t.not(second.body.id, first.body.id)
})

t.test(
  'stored responses are deleted when they expire, by the next request with a key or by the cleanup',
  async (t) => {
    await create(randomUUID(), { name: 'Dropped' })
    clock.advance(day)
    await create(randomUUID(), { name: 'Dropped too' })
    t.equal((await keysKept()).length, 1)
    clock.advance(day)
    await deleteExpiredAnswers(db, clock.now)
    t.same(await keysKept(), [])
  },
)

t.test('a stored response is deleted with its organization', async (t) => {
  await ask('POST', '/v1/organizations', { body: { key: 'short', name: 'Short-lived' } })
  await create(randomUUID(), { name: 'Short' }, { url: '/v1/organizations/short/tokens' })
  t.equal((await keysKept()).length, 1)
  await ask('POST', '/v1/organizations/short/suspend')
  await ask('DELETE', '/v1/organizations/short')
  t.same(await keysKept(), [])
})

t.test('a key that is too short, too long or not one string is a 400 that names the header', async (t) => {
  for (const key of [
    '',
    'short',
    'x'.repeat(21),
    randomUUID().repeat(8),
    `"${randomUUID()}`,
    `${randomUUID()}, b`,
    '"a\u00e9"',
  ])
    t.match(
      await create(key, { name: 'Refused' }),
      {
        status: 400,
        body: { code: 'invalid_request', errors: [{ in: 'header', field: 'idempotency-key' }] },
      },
      JSON.stringify(key),
    )
  t.same(await named('Refused'), [])
})
