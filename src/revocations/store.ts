import { sql } from 'kysely'
import type { Db } from '../db/database.ts'
import { server, timeline } from '../db/origin.ts'
import type { RevocationRow } from '../db/tables.ts'
import { type Cursor, cursorOf } from '../shared/feed-cursor.ts'

export type Revocation = Omit<RevocationRow, 'id' | 'position'> & {
  /** The cursor after this event. */
  cursor: Cursor
}

/** A consistent snapshot of the feed. */
export type Reading = {
  server: string | null
  /** Null in recovery. */
  newest: Cursor | null
  /** The cursor of the event at the position after which events were read; undefined if that event no longer exists. */
  after: Cursor | undefined
  events: Revocation[]
}

type Bounds = {
  server: string | null
  timeline: string | null
  newest: string | null
  newestAt: Date | null
  afterAt: Date | null
}

/** In order; no events if `after` is missing. A single statement, so that nothing is deleted in between. */
export async function selectRevocations(db: Db, after: number | undefined, limit: number): Promise<Reading> {
  const { rows } = await sql<Bounds & RevocationRow>`
    select ${sql.raw(server)} as server, ${sql.raw(timeline)} as timeline, bounds.*, event.*
    from (
      select newest.position as newest, newest.at as newest_at,
        (select at from revocations where position = ${after ?? null}::bigint) as after_at
      from (select) one left join (select position, at from revocations
        where position is not null order by position desc limit 1) newest on true
    ) bounds
    left join lateral (
      select * from revocations where position > ${after ?? null}::bigint order by position limit ${limit}
    ) event on true
    order by event.position`.execute(db)
  const [first] = rows
  if (!first) throw new Error('an outer join has no rows')
  const { server: from, timeline: history, newest, newestAt, afterAt } = first
  const at = (position: number, committed: Date | null) =>
    cursorOf(history ?? '', position, committed ?? new Date(0))
  return {
    server: from,
    newest: history === null ? null : at(Number(newest), newestAt),
    after: after !== undefined && afterAt ? at(after, afterAt) : undefined,
    events: rows.flatMap(({ position, ...row }) =>
      position === null ? [] : [{ ...row, cursor: at(Number(position), row.at) }],
    ),
  }
}

/** Those of the events that are in the feed; the times are in milliseconds. */
export async function selectKept(
  db: Db,
  events: { position: number; at: Date }[],
): Promise<{ position: string }[]> {
  const positions = JSON.stringify(events.map(({ position, at }) => [position, at.getTime()]))
  const { rows } = await sql<{ position: string }>`
    select position from revocations
    join jsonb_array_elements(${positions}::jsonb) as event on position = (event ->> 0)::bigint
    where date_trunc('milliseconds', at) = to_timestamp((event ->> 1)::bigint / 1000.0)`.execute(db)
  return rows
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
