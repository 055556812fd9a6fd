import { sql } from 'kysely'
import type { Db } from '../db/database.ts'
import { eventColumns, eventsInsert, type NewEvent, outboxInsert } from '../db/events.ts'
import { statement } from '../db/statement.ts'

const insert = statement<{ events: string }, never>('audit-events-insert', (builder, parameter) =>
  sql<never>`
    with event as (${eventsInsert(sql`${parameter('events')}`)} returning ${eventColumns})
    ${outboxInsert}`.compile(builder),
)

export async function insertEvents(db: Db, events: NewEvent[]): Promise<void> {
  await insert(db, { events: JSON.stringify(events) })
}
