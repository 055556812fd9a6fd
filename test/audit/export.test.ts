import { sql } from 'kysely'
import t from 'tap'
import type { Caller } from '../../src/access/caller.ts'
import { exportAuditEvents } from '../../src/change-log/export.ts'
import { platformId } from '../../src/shared/platform.ts'
import { fill } from '../support/database.ts'
import { createWorld, type World } from '../support/world.ts'

const world = await createWorld(t)
const { ask, issue, db } = world
const log = '/v1/organizations/default/audit-events'

const linesOf = (text: string) => text.split('\n').slice(0, -1)
const events = (text: string) => linesOf(text).map((line) => JSON.parse(line))

/** Adds this many events, one per second, to an organization of their own. */
async function addEvents({ databaseUrl }: World, organizationId: string, count: number): Promise<void> {
  await fill(
    databaseUrl,
    ['audit_events'],
    `insert into audit_events (organization_id, id, occurred_at, actor, action, target_type, target_id, target_name, request_id)
       select '${organizationId}', gen_random_uuid(), timestamptz '2026-01-01T00:00:00Z' + i / 3 * interval '1 second',
         '{"type": "system", "id": "test", "name": "Test"}', 'token.updated', 'token', 'target-' || i % 7, repeat('name ', 20), 'request'
       from generate_series(1, ${count}) i`,
  )
}

t.test('it contains the list, one event per line, with its media type', async (t) => {
  const made = await issue()
  const body = { reason: 'Line\nbreak \u2028' }
  t.match(await ask('POST', `/v1/organizations/default/tokens/${made.id}/revoke`, { body }), { status: 200 })
  const whole = await ask('GET', `${log}/export`)
  t.equal(whole.status, 200)
  t.equal(whole.headers['content-type'], 'application/jsonl')
  t.equal(whole.headers['cache-control'], 'no-store')
  t.ok(whole.text.endsWith('}\n'))
  t.same(events(whole.text), (await ask('GET', `${log}?limit=200`)).body.items)
})

t.test('it accepts the filters of the list', async (t) => {
  const { id } = await issue({ name: 'Filtered' })
  world.clock.advance(1000)
  await ask('POST', `/v1/organizations/default/tokens/${id}/revoke`)
  const now = encodeURIComponent(world.clock.now.toISOString())
  for (const query of [
    `target=${id}`,
    `target=${id}&action=token.created`,
    `from=${now}`,
    `to=${now}`,
    `actor=${id}`,
  ])
    t.same(
      events((await ask('GET', `${log}/export?${query}`)).text),
      (await ask('GET', `${log}?limit=200&${query}`)).body.items,
      query,
    )
  const wrong = await ask('GET', `${log}/export?limit=7`)
  t.match(wrong, { status: 400, body: { errors: [{ in: 'query', field: 'limit' }] } })
})

t.test('no events give an empty file', async (t) => {
  const answer = await ask('GET', `${log}/export?target=nothing`)
  t.equal(answer.status, 200)
  t.equal(answer.text, '')
})

t.test('it requires audit:read in the organization', async (t) => {
  const reader = await world.manager(['audit:read'])
  const other = await world.manager(['tokens:write'])
  t.equal((await ask('GET', `${log}/export`, { token: reader })).status, 200)
  t.match(await ask('GET', `${log}/export`, { token: other }), {
    status: 403,
    body: { code: 'insufficient_scope' },
  })
  t.equal((await ask('GET', `${log}/export`, { token: '' })).status, 401)
  t.equal((await ask('GET', '/v1/organizations/platform/audit-events/export', { token: reader })).status, 404)
  t.match(await ask('HEAD', `${log}/export`), {
    status: 200,
    text: '',
    headers: { 'content-type': 'application/jsonl' },
  })
})

t.test('a long log is complete: every event once, newest first', async (t) => {
  const organizationId = '00000000-0000-7000-8000-00000000000a'
  await addEvents(world, organizationId, 2345)
  const all = events((await ask('GET', `/v1/organizations/${organizationId}/audit-events/export`)).text)
  t.equal(new Set(all.map(({ id }) => id)).size, 2345)
  const times = all.map(({ occurred_at }) => occurred_at)
  t.same(times, times.toSorted().toReversed())
})

t.test('the database is read only as fast as the client reads', async (t) => {
  let queries = 0
  const counting = db.withPlugin({
    transformQuery: ({ node }) => {
      if (node.kind === 'SelectQueryNode') queries++
      return node
    },
    transformResult: async ({ result }) => result,
  })
  const principal = {
    type: 'management',
    scopes: ['platform:admin'],
    organizationId: platformId,
    tokenId: '',
  }
  const caller = {
    principal,
    actor: { type: 'token', id: '', name: '' },
    requestId: '',
    ip: null,
    now: world.clock.now,
  }
  const batches = await exportAuditEvents(
    counting,
    caller as unknown as Caller,
    '00000000-0000-7000-8000-00000000000a',
    {},
  )
  t.equal(queries, 1)
  let taken = 0
  for await (const batch of batches) {
    taken++
    t.equal(queries, taken)
    t.ok(batch.length <= 501)
    if (taken === 2) break
  }
  t.equal(queries, 2)
})

t.test(
  'a database failure in the middle breaks the connection, so that a partial log is not mistaken for a complete one',
  async (t) => {
    const other = await createWorld(t)
    await addEvents(other, platformId, 100_000)
    const address = await other.app.listen({ port: 0, host: '127.0.0.1' })
    const url = `${address}/v1/organizations/platform/audit-events/export`
    const response = await fetch(url, { headers: { authorization: `Bearer ${other.admin}` } })
    t.equal(response.status, 200)
    const reader = response.body?.getReader()
    t.ok((await reader?.read())?.value?.length)
    // The unread part is far larger than the buffers between here and the database.
    await sql`alter table audit_events rename to elsewhere`.execute(other.db)
    await t.rejects(async () => {
      while (!(await reader?.read())?.done);
    })
    // Searching it at the end of the run would take long.
    await sql`drop table elsewhere`.execute(other.db)
  },
)
