import { createHash } from 'node:crypto'
import t from 'tap'
import { deleteOldRevocations, readFeed } from '../../src/revocations/revocations.ts'
import { createWorld, day } from '../support/world.ts'

const world = await createWorld(t)
const page = async (since?: string, more = '', token = world.admin) => {
  const query = [since && `since=${since}`, more].filter(Boolean).join('&')
  return world.ask('GET', `/v1/revocations?${query}`, { token })
}
const now = async () => (await page()).body.cursor
const hashOf = (secret: string) => createHash('sha256').update(secret).digest('base64url')

/** The events that the feed reports for this work. */
async function eventsOf(work: () => Promise<unknown>): Promise<any[]> {
  const since = await now()
  await work()
  return (await page(since)).body.items
}

const tokens = '/v1/organizations/default/tokens'

t.test('without a cursor there are no events, only the end of the feed', async (t) => {
  await world.ask('POST', `${tokens}/${(await world.issue()).id}/revoke`)
  t.match((await page()).body, { items: [], cursor: /^[0-9A-F]{8}\.\d+$/, more: false })
})

t.test('a revoked or deleted token is reported once, with its id and the hash of its secret', async (t) => {
  const revoked = await world.issue()
  const [event, ...others] = await eventsOf(async () => {
    for (let i = 0; i < 2; i++) await world.ask('POST', `${tokens}/${revoked.id}/revoke`)
  })
  t.match(event, { reason: 'revoked', organization: 'default', type: 'api', token_id: revoked.id })
  t.equal(event.hash, hashOf(revoked.secret))
  t.same(others, [])
  const deleted = await world.issue()
  const told = await eventsOf(() => world.ask('DELETE', `${tokens}/${deleted.id}`))
  t.match(told, [{ reason: 'deleted', token_id: deleted.id, hash: hashOf(deleted.secret) }])
})

t.test('changes that do not affect whether a token is good are not reported', async (t) => {
  const { id, secret } = await world.issue()
  const told = await eventsOf(async () => {
    await world.issue()
    await world.ask('PATCH', `${tokens}/${id}`, { body: { name: 'Renamed', comment: 'It is as good.' } })
    await world.introspect(secret)
    await world.usage.flush()
  })
  t.same(told, [])
})

t.test('changes by SQL are reported too, and so is a secret that ends before its token', async (t) => {
  const { id, secret } = await world.issue({ lifetime_days: 30 })
  const about = { token_id: id, hash: hashOf(secret) }
  const sooner = () => world.sql(`update tokens set expires_at = now() where id = $1`, [id])
  t.match(await eventsOf(sooner), [{ ...about, reason: 'changed' }])
  const hinted = () => world.sql(`update token_secrets set hint = 'x' where token_id = $1`, [id])
  t.match(await eventsOf(hinted), [{ ...about, reason: 'changed' }])
  const gone = () => world.sql('delete from token_secrets where token_id = $1', [id])
  t.match(await eventsOf(gone), [{ ...about, reason: 'secret_ended' }])
})

t.test('suspending or resuming an organization or type is one event', async (t) => {
  await world.ask('POST', '/v1/organizations', { body: { key: 'large', name: 'Large' } })
  await world.issue({}, 'large')
  await world.issue({}, 'large')
  const large = { organization: 'large', type: null, token_id: null, hash: null }
  const suspend = () => world.ask('POST', '/v1/organizations/large/suspend')
  t.match(await eventsOf(suspend), [{ ...large, reason: 'suspended' }])
  t.same(await eventsOf(() => world.ask('POST', '/v1/organizations/large/resume')), [])
  await suspend()
  const remove = () => world.ask('DELETE', '/v1/organizations/large')
  const told = await eventsOf(remove)
  t.equal(told.length, 1)
  t.match(told, [{ ...large, reason: 'deleted' }])
  await world.ask('POST', '/v1/token-types', { body: { name: 'brief', prefix: 'brief' } })
  const ofType = await eventsOf(() => world.ask('POST', '/v1/token-types/brief/suspend'))
  t.match(ofType, [{ reason: 'suspended', organization: null, type: 'brief', hash: null }])
})

t.test('truncating a table resets all readers', async (t) => {
  const other = await createWorld(t)
  const { cursor } = await readFeed(other.db, undefined, 0)
  await other.sql('truncate token_secrets')
  t.match((await readFeed(other.db, cursor, 10)).events, [{ reason: 'reset', hash: null }])
})

t.test('a resource server sees only its own organization, and all types', async (t) => {
  await world.ask('POST', '/v1/organizations', { body: { key: 'mine', name: 'Mine' } })
  const mine = await world.manager(['tokens:introspect'], 'mine')
  const since = await now()
  const own = await world.issue({}, 'mine')
  const foreign = await world.issue()
  await world.ask('POST', `${tokens}/${foreign.id}/revoke`)
  await world.ask('POST', `/v1/organizations/mine/tokens/${own.id}/revoke`)
  await world.ask('POST', '/v1/token-types', { body: { name: 'common', prefix: 'common' } })
  await world.ask('POST', '/v1/token-types/common/suspend')
  const seen = (await page(since, '', mine)).body
  t.match(seen.items, [{ token_id: own.id }, { type: 'common', organization: null }])
  t.equal(seen.cursor, await now(), 'it goes on behind what it does not see')
  t.equal((await page(since)).body.items.length, 3, 'a resource server of the platform sees all')
})

t.test('a narrowed resource server sees only events of its tokens', async (t) => {
  await world.ask('POST', '/v1/organizations', { body: { key: 'narrow', name: 'Narrow' } })
  const narrowed = await world.manager(['tokens:introspect'], 'narrow', {
    narrowed_to: { audience: ['https://a.example'], types: ['api'] },
  })
  const since = await now()
  const meant = await world.issue({ audience: ['https://a.example'] }, 'narrow')
  const others = [
    await world.issue({ audience: ['https://b.example'] }, 'narrow'),
    await world.issue({}, 'narrow'),
    await world.issue({ type: 'scim' }, 'narrow'),
  ]
  for (const { id } of [...others, meant])
    await world.ask('POST', `/v1/organizations/narrow/tokens/${id}/revoke`)
  await world.ask('POST', '/v1/organizations/narrow/suspend')
  await world.ask('POST', '/v1/organizations/narrow/resume')
  const seen = (await page(since, '', narrowed)).body
  t.match(seen.items, [{ token_id: meant.id }, { organization: 'narrow', token_id: null }])
  t.equal(seen.items.length, 2)
})

t.test('pages of any size contain the same events in the same order', async (t) => {
  const since = await now()
  for (let i = 0; i < 7; i++) await world.ask('POST', `${tokens}/${(await world.issue()).id}/revoke`)
  const whole = (await page(since)).body
  t.equal(whole.items.length, 7)
  for (const limit of [1, 2, 3, 7, 8]) {
    const items: any[] = []
    let cursor = since
    for (let more = true; more; ) {
      const part = (await page(cursor, `limit=${limit}`)).body
      items.push(...part.items)
      cursor = part.cursor
      more = part.more
    }
    t.same(items, whole.items)
    t.equal(cursor, whole.cursor)
  }
  t.same((await page(whole.items[2].id)).body.items, whole.items.slice(3), 'an event’s id is a cursor too')
})

t.test('hashes are shortened on request', async (t) => {
  const { id, secret } = await world.issue()
  const since = await now()
  await world.ask('POST', `${tokens}/${id}/revoke`)
  const [event] = (await page(since, 'hash_prefix=8')).body.items
  t.equal(event.hash, hashOf(secret).slice(0, 8))
  t.match(await page(since, 'hash_prefix=3'), { status: 400, body: { errors: [{ field: 'hash_prefix' }] } })
})

t.test('a cursor that is too old, too new or of another timeline is a 410', async (t) => {
  const before = await now()
  const [epoch, position] = before.split('.')
  await world.ask('POST', `${tokens}/${(await world.issue()).id}/revoke`)
  await world.ask('POST', `${tokens}/${(await world.issue()).id}/revoke`)
  t.match((await page(before)).body.items, { length: 2 })
  const gone = { status: 410, body: { code: 'cursor_gone' } }
  t.match(await page(`${epoch}.${Number(position) + 1000}`), gone)
  t.match(await page(`FFFFFFFF.${position}`), gone)
  t.match(await page('x'), { status: 400, body: { errors: [{ in: 'query', field: 'since' }] } })

  await deleteOldRevocations(world.db, new Date(Date.now() + 2 * day))
  t.match(await page(before), gone)
  const last = await now()
  t.match((await page(last)).body, { items: [], cursor: last }, 'where the feed stands is known even then')
})
