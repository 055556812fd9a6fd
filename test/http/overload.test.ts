import { once } from 'node:events'
import { request } from 'node:http'
import { setImmediate } from 'node:timers/promises'
import { sql } from 'kysely'
import t from 'tap'
import { createWorld } from '../support/world.ts'

const world = await createWorld(t, { limits: { introspection: 8, management: 8 }, hot: { cacheSize: 0 } })
const form = { 'content-type': 'application/x-www-form-urlencoded' }

/** Requests that wait for the database as long as `during` runs. */
async function whileWaiting(requests: () => Promise<unknown>[], during: () => Promise<void>): Promise<void> {
  let waiting: Promise<unknown>[] = []
  await world.db.transaction().execute(async (tx) => {
    await sql`lock table token_secrets in access exclusive mode`.execute(tx)
    waiting = requests()
    const blocked = () =>
      sql`select from pg_locks where not granted and relation = 'token_secrets'::regclass`.execute(world.db)
    while ((await blocked()).rows.length === 0);
    await during()
  })
  await Promise.all(waiting)
}

const introspect = () =>
  world.app.inject({
    method: 'POST',
    url: '/introspect',
    payload: `token=${world.admin}`,
    headers: { ...form, authorization: `Bearer ${world.admin}` },
  })
const list = () =>
  world.app.inject({
    method: 'GET',
    url: '/v1/organizations/default/tokens',
    headers: { authorization: `Bearer ${world.admin}` },
  })

t.test('introspection requests beyond the limit are rejected at once with Retry-After', async (t) => {
  const admitted = [1, 2].map(() => introspect)
  let answers: Promise<{ statusCode: number }>[] = []
  await whileWaiting(
    () => {
      answers = admitted.map((ask) => ask())
      return answers
    },
    async () => {
      const refused = await introspect()
      t.equal(refused.statusCode, 503)
      t.equal(refused.headers['retry-after'], '1')
      t.match(refused.json(), { error: 'temporarily_unavailable' })
      const health = await world.app.inject('/livez')
      t.equal(health.statusCode, 200)
      t.equal((await world.app.inject('/readyz')).statusCode, 200)
      t.equal((await world.app.inject('/metrics')).statusCode, 200)
    },
  )
  for (const answer of answers) t.equal((await answer).statusCode, 200)
  t.equal((await introspect()).statusCode, 200)
})

t.test('a flood of management requests is rejected too, and introspection continues', async (t) => {
  let answers: Promise<{ statusCode: number }>[] = []
  await whileWaiting(
    () => {
      answers = [list(), list()]
      return answers
    },
    async () => {
      const refused = await list()
      t.equal(refused.statusCode, 503)
      t.equal(refused.headers['retry-after'], '1')
      t.match(refused.json(), { code: 'overloaded', status: 503 })
      const garbage = { method: 'POST', url: '/introspect', payload: 'token=x', headers: form } as const
      t.equal((await world.app.inject(garbage)).statusCode, 401)
    },
  )
  for (const answer of answers) t.equal((await answer).statusCode, 200)
  t.equal((await list()).statusCode, 200)
})

t.test('a reader who disconnects in the middle of a long response frees its slot', async (t) => {
  const small = await createWorld(t, { limits: { management: 1 } })
  const base = await small.app.listen({ host: '127.0.0.1', port: 0 })
  const { id } = (await small.ask('GET', '/v1/organizations/default')).body
  // More than fits into the buffers on the way.
  await small.sql(
    `insert into audit_events (organization_id, id, occurred_at, actor, action, target_type, target_id, target_name, request_id)
      select $1, gen_random_uuid(), date_trunc('second', now()), '{"type":"system","id":"test","name":"Test"}', 'token.created', 'token', 'x',
        repeat('x', 1000), 'x'
      from generate_series(1, 20000)`,
    [id],
  )
  const reader = request(`${base}/v1/organizations/default/audit-events/export`, {
    headers: { authorization: `Bearer ${small.admin}` },
  })
  reader.end()
  const [response] = await once(reader, 'response')
  t.equal(response.statusCode, 200)
  t.match(await small.ask('GET', '/v1/self'), { status: 503 }, 'it is under way')
  response.destroy()
  // Injected requests alone would leave the event loop no turn to notice it.
  while ((await small.ask('GET', '/v1/self')).status === 503) await setImmediate()
})
