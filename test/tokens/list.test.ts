import t from 'tap'
import { createWorld, day } from '../support/world.ts'

const world = await createWorld(t)
const { ask, issue, clock, db } = world
const tokens = '/v1/organizations/lists/tokens'
await ask('POST', '/v1/organizations', { body: { key: 'lists', name: 'Lists' } })

const begin = clock.now
const at = (days: number) => new Date(begin.getTime() + days * day)
const make = async (name: string, input: object = {}) => (await issue({ name, ...input }, 'lists')).id
const use = (id: string, when: Date) =>
  db.updateTable('tokenUses').set({ lastUsedAt: when }).where('tokenId', '=', id).execute()

// Created on days 0 to 4; viewed on day 4.
const bravo = await make('bravo', { expires_at: at(2).toISOString() })
clock.now = at(1)
const alpha = await make('Alpha', { type: 'scim', owner: { subject: 'u-1' } })
clock.now = at(2)
const charlie = await make('charlie', { expires_at: at(30).toISOString(), owner: { subject: 'u-1' } })
clock.now = at(3)
const delta = await make('delta 100%', { not_before: at(10).toISOString(), expires_at: at(20).toISOString() })
clock.now = at(4)
const echo = await make('Echo_1')
await ask('POST', `${tokens}/${echo}/revoke`)
await use(bravo, at(1))
await use(charlie, at(3))

const names = async (query: Record<string, string>) => {
  const { status, body, text } = await ask('GET', `${tokens}?${new URLSearchParams(query)}`)
  if (status !== 200) throw new Error(text)
  return body.items.map((item: any) => item.name)
}

t.test('lists are sorted by creation, name, expiry or last use, in both directions', async (t) => {
  const byName = ['Alpha', 'bravo', 'charlie', 'delta 100%', 'Echo_1']
  const byCreation = ['bravo', 'Alpha', 'charlie', 'delta 100%', 'Echo_1']
  t.same(await names({}), byCreation.toReversed(), 'the newest first unless asked otherwise')
  t.same(await names({ sort: 'created_at' }), byCreation)
  t.same(await names({ sort: 'name' }), byName)
  t.same(await names({ sort: '-name' }), byName.toReversed())
  const byExpiry = await names({ sort: 'expires_at' })
  t.same(byExpiry.slice(0, 3), ['bravo', 'delta 100%', 'charlie'])
  t.same(new Set(byExpiry.slice(3)), new Set(['Alpha', 'Echo_1']), 'what never expires is last')
  t.same(await names({ sort: '-expires_at' }), byExpiry.toReversed())
  const byUse = await names({ sort: 'last_used_at' })
  t.same(
    new Set(byUse.slice(0, 3)),
    new Set(['Alpha', 'delta 100%', 'Echo_1']),
    'what was never used is first',
  )
  t.same(byUse.slice(3), ['bravo', 'charlie'])
  t.same(await names({ sort: '-last_used_at' }), byUse.toReversed())
})

t.test('every token has exactly one status', async (t) => {
  t.same(await names({ status: 'active', sort: 'name' }), ['Alpha', 'charlie'])
  t.same(await names({ status: 'expired' }), ['bravo'])
  t.same(await names({ status: 'revoked' }), ['Echo_1'])
  t.same(await names({ status: 'not_yet_valid' }), ['delta 100%'])
})

t.test('a range includes its start but not its end, and excludes events that never happen', async (t) => {
  const range = (name: string, from?: number, to?: number) => ({
    ...(from !== undefined && { [`${name}_from`]: at(from).toISOString() }),
    ...(to !== undefined && { [`${name}_to`]: at(to).toISOString() }),
    sort: 'created_at',
  })
  t.same(await names(range('created', 1, 3)), ['Alpha', 'charlie'])
  t.same(await names(range('created', 3)), ['delta 100%', 'Echo_1'])
  t.same(await names(range('created', undefined, 1)), ['bravo'])
  t.same(await names(range('created', 3, 1)), [])
  t.same(await names(range('expires', 20)), ['charlie', 'delta 100%'])
  t.same(await names(range('expires', undefined, 20)), ['bravo'])
  t.same(await names(range('last_used', 1, 3)), ['bravo'])
  t.same(await names(range('last_used', 3)), ['charlie'])
  t.same(await names(range('last_used', undefined, 3)), ['bravo'])
})

t.test('unused tokens can be filtered', async (t) => {
  t.same(await names({ never_used: 'true', sort: 'name' }), ['Alpha', 'delta 100%', 'Echo_1'])
  t.same(await names({ never_used: 'false', sort: 'name' }), ['bravo', 'charlie'])
  t.same(await names({ never_used: 'true', last_used_from: at(0).toISOString() }), [])
})

t.test('a name prefix matches the start of names, case-insensitively and literally', async (t) => {
  t.same(await names({ name_prefix: 'ALP' }), ['Alpha'])
  t.same(await names({ name_prefix: 'e' }), ['Echo_1'])
  t.same(await names({ name_prefix: 'lpha' }), [], 'a part in the middle is not the start')
  t.same(await names({ name_prefix: 'delta 100%' }), ['delta 100%'])
  t.same(await names({ name_prefix: '%' }), [])
  t.same(await names({ name_prefix: '_cho' }), [])
  t.same(await names({ name_prefix: 'echo\\_' }), [])
  t.same(await names({ name_prefix: 'echo_' }), ['Echo_1'])
})

t.test('filters combine', async (t) => {
  t.same(await names({ owner: 'u-1', sort: 'name' }), ['Alpha', 'charlie'])
  t.same(await names({ owner: 'u-1', type: 'scim' }), ['Alpha'])
  t.same(await names({ owner: 'u-1', type: 'scim', status: 'expired' }), [])
  t.ok(alpha && delta)
})

t.test('an invalid filter, order, instant or limit is a 400 that names it', async (t) => {
  for (const [field, value] of Object.entries({
    colour: 'red',
    status: 'gone',
    sort: 'comment',
    limit: '201',
    created_from: 'yesterday',
    expires_to: '2026-02-30T25:00:00Z',
    never_used: 'perhaps',
  })) {
    const answer = await ask('GET', `${tokens}?${new URLSearchParams({ [field]: value })}`)
    t.equal(answer.status, 400, field)
    t.match(answer.body.errors, [{ in: 'query', field }])
  }
})
