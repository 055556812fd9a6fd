import { type Insertable, sql } from 'kysely'
import type { Db } from '../db/database.ts'
import type { AuditEvent, Tables } from '../db/tables.ts'

export type EventFilter = {
  actor?: string
  target?: string
  action?: string
  from?: Date
  to?: Date
  /** Only events older than this one. */
  before?: string
  limit: number
}

// PostgreSQL takes 65,535 parameters in a statement.
const batch = 1000

export async function insertEvents(db: Db, events: Insertable<Tables['auditEvents']>[]): Promise<void> {
  for (let start = 0; start < events.length; start += batch)
    await db
      .insertInto('auditEvents')
      .values(events.slice(start, start + batch))
      .execute()
}

/** Newest first; one row more than `limit` where there are more. */
export async function selectEvents(
  db: Db,
  organizationId: string,
  filter: EventFilter,
): Promise<AuditEvent[]> {
  const { actor, target, action, from, to, before, limit } = filter
  return db
    .selectFrom('auditEvents')
    .selectAll()
    .where('organizationId', '=', organizationId)
    .$if(actor !== undefined, (query) => query.where(sql`actor ->> 'id'`, '=', actor))
    .$if(target !== undefined, (query) => query.where('targetId', '=', target as string))
    .$if(action !== undefined, (query) => query.where('action', '=', action as string))
    .$if(from !== undefined, (query) => query.where('occurredAt', '>=', from as Date))
    .$if(to !== undefined, (query) => query.where('occurredAt', '<', to as Date))
    .$if(before !== undefined, (query) => query.where('id', '<', before as string))
    .orderBy('id', 'desc')
    .limit(limit + 1)
    .execute()
}
