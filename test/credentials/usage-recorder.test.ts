import { sql } from 'kysely'
import t from 'tap'
import { v7 as uuid } from 'uuid'
import { unused } from '../../src/access/credential.ts'
import { createUsageRecorder } from '../../src/credentials/usage-recorder.ts'
import { recordUses } from '../../src/credentials/usage-store.ts'
import { createDb } from '../../src/db/database.ts'
import { createTime } from '../support/credentials.ts'
import { createProxy } from '../support/proxy.ts'
import { createWorld, day } from '../support/world.ts'

const world = await createWorld(t)
const { usage, clock } = world

function startUsage(db = world.db, capacity?: number) {
  const errors: Error[] = []
  const time = createTime()
  const { every } = time
  const onError = (error: Error) => void errors.push(error)
  return { ...createUsageRecorder(db, { every, onError, ...(capacity && { capacity }) }), time, errors }
}

async function shown(id: string) {
  const path = `/v1/organizations/default/tokens/${id}`
  const { last_used_at: at, last_used_ip: ip, ...token } = (await world.ask('GET', path)).body
  const [uses] = await world.db.selectFrom('tokenUses').select('useCount').where('tokenId', '=', id).execute()
  return { at, ip, count: Number(uses?.useCount), token }
}

const { rows } = await world.sql("select id from organizations where key = 'default'")
const used = (tokenId: string) => ({ ...unused, organizationId: rows[0].id, tokenId, secretId: tokenId })

t.test('a token shows when it was last introspected as active, and counts it', async (t) => {
  const { id, secret } = await world.issue()
  await usage.flush()
  t.match(await shown(id), { at: null, ip: null, count: 0 })
  await world.introspect(secret)
  clock.advance(1000)
  const at = clock.now.toISOString()
  await world.introspect(secret)
  await usage.flush()
  t.match(await shown(id), { at, ip: null, count: 2 })
})

t.test('a token in constant use is updated once a minute, and every use is counted', async (t) => {
  const { id, secret } = await world.issue()
  const first = clock.now.toISOString()
  for (const [ms, at] of [
    [0, first],
    [59_999, first],
    [1, new Date(clock.now.getTime() + 60_000).toISOString()],
  ] as const) {
    clock.advance(ms)
    await world.introspect(secret)
    await usage.flush()
    t.match(await shown(id), { at })
  }
  t.equal((await shown(id)).count, 3)
})

t.test('a management token shows the address of its last use', async (t) => {
  const { id, secret } = await world.issue({ type: 'management', scopes: ['tokens:read'] })
  await world.ask('GET', '/v1/self', { token: secret })
  await usage.flush()
  t.match(await shown(id), { at: clock.now.toISOString(), ip: '127.0.0.1', count: 1 })
})

t.test('introspecting a token that is not good, or not visible to the caller, is not a use', async (t) => {
  const { id, secret } = await world.issue()
  await world.ask('POST', '/v1/organizations', { body: { key: 'elsewhere', name: 'Elsewhere' } })
  const foreigner = await world.manager(['tokens:introspect'], 'elsewhere')
  t.same(await world.introspect(secret, foreigner), { active: false })
  await world.ask('POST', `/v1/organizations/default/tokens/${id}/revoke`)
  t.same(await world.introspect(secret), { active: false })
  await usage.flush()
  t.match(await shown(id), { at: null, count: 0 })
})

t.test('recording a use changes neither ETag nor the time of the last change', async (t) => {
  const { id, secret } = await world.issue()
  const path = `/v1/organizations/default/tokens/${id}`
  const before = await world.ask('GET', path)
  clock.advance(1000)
  await world.introspect(secret)
  await usage.flush()
  const after = await world.ask('GET', path)
  t.equal(after.headers.etag, before.headers.etag)
  t.equal(after.body.updated_at, before.body.updated_at)
  t.not(after.body.last_used_at, before.body.last_used_at)
})

t.test('a late record lowers nothing and replaces no newer address', async (t) => {
  const { id } = await world.issue()
  const now = clock.now
  usage.note(used(id), now, '192.0.2.1')
  await usage.flush()
  usage.note(used(id), new Date(now.getTime() - day), '192.0.2.2')
  await usage.flush()
  t.match(await shown(id), { at: now.toISOString(), ip: '192.0.2.1', count: 2 })
})

t.test('uses recorded separately, as with two secrets of one token, add up', async (t) => {
  const { id } = await world.issue()
  const { note, flush } = startUsage()
  for (const use of [used(id), used(id)]) for (let i = 0; i < 2; i++) note(use, clock.now, null)
  await flush()
  t.equal((await shown(id)).count, 4)
})

t.test('uses on two instances add up', async (t) => {
  const { id } = await world.issue()
  const instances = [startUsage(), startUsage()]
  for (const instance of instances) instance.note(used(id), clock.now, null)
  for (const { close } of instances) await close()
  t.equal((await shown(id)).count, 2)
})

t.test('uses are written periodically, and the rest on close', async (t) => {
  const { id } = await world.issue()
  const { note, flush, close, time } = startUsage()
  note(used(id), clock.now, null)
  time.tick()
  await flush()
  t.equal((await shown(id)).count, 1)
  note(used(id), clock.now, null)
  await close()
  t.equal((await shown(id)).count, 2)
})

t.test('more uses than fit into one statement are all written on close', async (t) => {
  const tokens = await Promise.all(Array.from({ length: 5 }, () => world.issue()))
  const { note, close } = startUsage()
  for (let i = 0; i < 4500; i++) note(used(uuid()), clock.now, null)
  for (const { id } of tokens) note(used(id), clock.now, null)
  await close()
  for (const { id } of tokens) t.equal((await shown(id)).count, 1)
})

t.test('a locked row is skipped and written later', async (t) => {
  const { id } = await world.issue()
  const { note, flush } = startUsage()
  await world.db.transaction().execute(async (tx) => {
    await sql`select from token_uses where token_id = ${id} for update`.execute(tx)
    note(used(id), clock.now, null)
    await flush()
    t.equal((await shown(id)).count, 0)
  })
  await flush()
  t.equal((await shown(id)).count, 1)
})

t.test('uses recorded by an earlier version count, and lower nothing', async (t) => {
  const { id } = await world.issue()
  const noted = async (at: Date, ip: string) => {
    await world.sql('update tokens set last_used_at = $2, last_used_ip = $3 where id = $1', [id, at, ip])
    return shown(id)
  }
  const now = clock.now
  t.match(await noted(now, '192.0.2.1'), { at: now.toISOString(), ip: '192.0.2.1' })
  t.match(await noted(new Date(now.getTime() - day), '192.0.2.2'), { at: now.toISOString(), ip: '192.0.2.1' })
})

t.test('uses of a deleted token are dropped', async (t) => {
  const { id } = await world.issue()
  const { note, flush, close, errors } = startUsage()
  note(used(id), clock.now, null)
  await world.ask('DELETE', `/v1/organizations/default/tokens/${id}`)
  await flush()
  await close()
  t.same(errors, [])
})

t.test(
  'a token without a row of uses, as after an import without triggers, is shown and can be revoked',
  async (t) => {
    const { id } = await world.issue()
    await world.sql('delete from token_uses where token_id = $1', [id])
    const use = { ...used(id), uses: 1, usedAt: clock.now.getTime() }
    t.same(await recordUses(world.db, [use]), [], 'nothing waits for a row that never comes')
    t.match(await shown(id), { at: null, ip: null, token: { status: 'active' } })
    await world.ask('POST', `/v1/organizations/default/tokens/${id}/revoke`)
    t.match(await shown(id), { token: { status: 'revoked' } })
  },
)

t.test('uses that could not be written are kept, together with later ones', async (t) => {
  const { id } = await world.issue()
  const proxy = await createProxy(t, world.databaseUrl)
  const db = createDb({ url: proxy.url, poolSize: 1 })
  t.teardown(() => db.destroy())
  const { note, flush } = startUsage(db)
  await proxy.close()
  note(used(id), clock.now, null)
  await t.rejects(flush())
  note(used(id), clock.now, null)
  await proxy.reopen()
  await flush()
  t.equal((await shown(id)).count, 2)
})

t.test('its memory is bounded: beyond that, uses of further tokens are not recorded', async (t) => {
  const [first, second] = [await world.issue(), await world.issue()]
  const { note, flush } = startUsage(world.db, 1)
  note(used(first.id), clock.now, null)
  note(used(second.id), clock.now, null)
  note(used(first.id), clock.now, null)
  await flush()
  t.equal((await shown(first.id)).count, 2)
  t.equal((await shown(second.id)).count, 0)
  note(used(second.id), clock.now, null)
  await flush()
  t.equal((await shown(second.id)).count, 1)
})
