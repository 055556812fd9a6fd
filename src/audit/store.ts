import { sql } from 'kysely'
import type { Db } from '../db/database.ts'
import { eventsInsert, type NewEvent } from '../db/events.ts'
import { statement } from '../db/statement.ts'

const insert = statement<{ events: string }, never>('audit-events-insert', (builder, parameter) =>
  eventsInsert(sql`${parameter('events')}`).compile(builder),
)

export async function insertEvents(db: Db, events: NewEvent[]): Promise<void> {
  await insert(db, { events: JSON.stringify(events) })
}
