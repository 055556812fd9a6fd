import t, { type Test } from 'tap'
import { type EventFilter, selectEvents } from '../../src/change-log/store.ts'
import { execute, fill, openDatabase } from '../support/database.ts'
import { costOf } from '../support/plans.ts'

const { db, url } = await openDatabase(t)
const organization = '00000000-0000-7000-8000-000000000001'
const limit = 10

// One event per minute; ten actors, 20,000 targets, four actions.
await fill(
  url,
  ['audit_events'],
  `insert into audit_events (organization_id, id, occurred_at, actor, action, target_type, target_id, target_name, request_id)
     select '${organization}', gen_random_uuid(), timestamptz '2026-03-01T12:00:00Z' - i * interval '1 minute',
       jsonb_build_object('id', 'actor-' || i % 10), 'token.' || (array['created', 'updated', 'revoked', 'deleted'])[i % 4 + 1],
       'token', 'target-' || i % 20000, 'Name', 'request'
     from generate_series(1, 120000) i`,
)
// Searching it at the end of the run would take long.
t.teardown(() => execute(url, 'drop table audit_events'))

async function costOfPage(t: Test, filter: EventFilter, skipped: number) {
  const last =
    skipped > 0 ? (await selectEvents(db, organization, { ...filter, limit: skipped - 1 })).at(-1) : undefined
  const before = last && { occurred_at: last.occurredAt.toISOString(), id: last.id }
  const cost = await costOf(db, 'audit_events', (db) =>
    selectEvents(db, organization, { ...filter, ...(before && { before }), limit }),
  )
  t.same(cost.scanned, [], 'no sequential scan')
  t.equal(cost.sorted, 0, 'no sort')
  return cost
}

const year = { from: new Date('2025-12-01T00:00:00Z'), to: new Date('2026-03-01T00:00:00Z') }
const filters: { what: string; filter: EventFilter; skipped: number }[] = [
  { what: 'whole log', filter: {}, skipped: 100_000 },
  { what: 'log of a time', filter: year, skipped: 100_000 },
  { what: 'log of an actor', filter: { actor: 'actor-7' }, skipped: 10_000 },
  { what: 'log of an actor at a time', filter: { actor: 'actor-7', ...year }, skipped: 5_000 },
  { what: 'log of an action', filter: { action: 'token.revoked' }, skipped: 10_000 },
  { what: 'log of a target', filter: { target: 'target-77' }, skipped: 5 },
]

for (const { what, filter, skipped } of filters) {
  t.test(`a page deep in the ${what} costs what its first costs: the rows it shows`, async (t) => {
    const first = await costOfPage(t, filter, 0)
    const deep = await costOfPage(t, filter, skipped)
    t.ok(first.examined <= limit + 1 && deep.examined <= limit + 1, what, { first, deep })
    t.ok(deep.blocks <= 1.5 * first.blocks + 5, what, { first, deep })
  })
}
