import { sql } from 'kysely'
import type { Db } from '../db/database.ts'
import { server, timeline } from '../db/origin.ts'
import type { RevocationRow } from '../db/tables.ts'

export type Revocation = Omit<RevocationRow, 'id' | 'position'> & { position: number }

/** A consistent snapshot: the events after a position, and the range of positions in the feed. */
export type Reading = {
  server: string | null
  epoch: string | null
  oldest: number
  newest: number
  events: Revocation[]
}

type Bounds = { server: string | null; epoch: string | null; oldest: string; newest: string }

/** In order; no events if `after` is missing. A single statement, so that nothing is deleted in between. */
export async function selectRevocations(db: Db, after: number | undefined, limit: number): Promise<Reading> {
  const { rows } = await sql<Bounds & RevocationRow>`
    select ${sql.raw(server)} as server, ${sql.raw(timeline)} as epoch, oldest, newest, event.*
    from (select min(position) as oldest, max(position) as newest from revocations) bounds
    left join lateral (
      select * from revocations where position > ${after ?? null}::bigint order by position limit ${limit}
    ) event on true
    order by event.position`.execute(db)
  const [first] = rows
  if (!first) throw new Error('an outer join has no rows')
  const { server: from, epoch, oldest, newest } = first
  return {
    server: from,
    epoch,
    oldest: Number(oldest),
    newest: Number(newest),
    events: rows.flatMap(eventOf),
  }
}

function eventOf({ position, ...row }: Bounds & RevocationRow): Revocation[] {
  return position === null ? [] : [{ ...row, position: Number(position) }]
}

/**
 * Deletes old rows among the first `limit`, and returns how many. The very last row remains, since it marks the end of
 * the feed.
 */
export async function deleteRevocations(db: Db, before: Date, limit: number): Promise<number> {
  const first = db
    .selectFrom('revocations')
    .select(['position', 'at'])
    .where('position', '<', (query) =>
      query.selectFrom('revocations').select((max) => max.fn.max('position').as('newest')),
    )
    .orderBy('position')
    .limit(limit)
  const { numDeletedRows } = await db
    .deleteFrom('revocations')
    .where('position', 'in', (query) =>
      query.selectFrom(first.as('first')).select('position').where('at', '<', before),
    )
    .executeTakeFirst()
  return Number(numDeletedRows)
}
