import { Registry } from 'prom-client'
import t from 'tap'
import { createDb } from '../../src/db/database.ts'
import { createDispatcher } from '../../src/dispatch/dispatcher.ts'
import { measureDispatch } from '../../src/dispatch/metrics.ts'
import { createOutbound } from '../../src/outbound/outbound.ts'
import { createWorld } from '../support/world.ts'
import { startReceiver } from './receiver.ts'

const minute = 60_000

t.test('instances that are killed and a receiver that fails half of the time lose nothing', async (t) => {
  const accepted: string[] = []
  const seen = new Set<string>()
  let n = 0
  const receiver = await startReceiver(t, ({ headers }, response) => {
    const id = String(headers['webhook-id'])
    n += 1
    if (n % 2 === 0) return void response.writeHead(500).end()
    if (!seen.has(id)) accepted.push(id)
    seen.add(id)
    response.writeHead(204).end()
  })
  const allowed = { allow: ['127.0.0.1'] }
  const world = await createWorld(t, { outbound: allowed })
  await world.dispatcher.flush()
  const events = ['token.created', 'token.rotated', 'token.revoked']
  const collection = '/v1/organizations/default/webhooks'
  await world.ask('POST', collection, { body: { url: receiver.url, events } })
  const path = '/v1/organizations/default/tokens'
  for (let token = 0; token < 40; token += 1) {
    const { id } = await world.issue()
    for (let turn = 0; turn < 3; turn += 1)
      await world.ask('POST', `${path}/${id}/rotate`, { body: { overlap_seconds: 0 } })
    await world.ask('POST', `${path}/${id}/revoke`)
  }

  const other = await createWorld(t, {
    outbound: allowed,
    databaseUrl: world.databaseUrl,
    signing: world.signing,
  })
  const waiting = async () =>
    (await world.sql(`select from deliveries where status = 'pending' union all select from outbox`)).rowCount
  for (let round = 0; round === 0 || (await waiting()); round += 1) {
    if (round < 3) {
      // Its connections end while it delivers, as those of a killed process do: it can store nothing any more.
      const db = createDb({ url: world.databaseUrl, poolSize: 4 })
      const doomed = createDispatcher(db, {
        outbound: createOutbound(allowed),
        signing: world.signing,
        mail: undefined,
        metrics: measureDispatch(new Registry()),
        now: () => world.clock.now,
        log: { warn() {} },
        every: () => () => {},
        onError() {},
      })
      const working = doomed.flush().catch(() => {})
      const before = n
      while (n < before + 10) if (!(await waiting())) break
      await db.destroy()
      await working
    }
    other.clock.now = world.clock.now
    await Promise.all([world.dispatcher.flush(), other.dispatcher.flush()])
    world.clock.advance(73 * minute)
  }

  const { rows } = await world.sql(
    `select id, target_id from audit_events
    where action = any($1) and organization_id = (select id from organizations where key = 'default') order by id`,
    [events],
  )
  t.equal(rows.length, 200)
  t.same(
    rows.filter(({ id }) => !seen.has(id)),
    [],
    'nothing is lost',
  )
  t.equal(seen.size, rows.length, 'and nothing else arrived: repetitions have the same id')
  const tokens = Map.groupBy(rows, ({ target_id }) => target_id)
  for (const [, changes] of tokens) {
    const ids = changes.map(({ id }) => id)
    t.same(
      accepted.filter((id) => ids.includes(id)),
      ids,
      'in the order of the changes',
    )
  }
})
