import { sql } from 'kysely'
import type { Db } from '../db/database.ts'
import type { AuditEvent } from '../db/tables.ts'

export type EventFilter = {
  actor?: string
  target?: string
  action?: string
  from?: Date
  to?: Date
}

/** The position of an event in the log. */
export type EventPosition = { occurred_at: string; id: string }

/** `before` selects only events that come after it in the list, which are older. */
export type EventQuery = EventFilter & { before?: EventPosition; limit: number }

/** Newest first; one row more than `limit` if there are more. */
export async function selectEvents(
  db: Db,
  organizationId: string,
  { actor, target, action, from, to, before, limit }: EventQuery,
): Promise<AuditEvent[]> {
  return (
    db
      .selectFrom('auditEvents')
      .selectAll()
      .where('organizationId', '=', organizationId)
      .$if(actor !== undefined, (query) => query.where(sql`actor ->> 'id'`, '=', actor))
      .$if(target !== undefined, (query) => query.where('targetId', '=', target as string))
      .$if(action !== undefined, (query) => query.where('action', '=', action as string))
      .$if(from !== undefined, (query) => query.where('occurredAt', '>=', from as Date))
      // Events after `before` are older than `to` anyway; given both, PostgreSQL would start reading at `to`.
      .$if(to !== undefined && before === undefined, (query) => query.where('occurredAt', '<', to as Date))
      .$if(before !== undefined, (query) =>
        query.where(
          sql<boolean>`(occurred_at, id) < (${before?.occurred_at}::timestamptz, ${before?.id}::uuid)`,
        ),
      )
      .orderBy('occurredAt', 'desc')
      .orderBy('id', 'desc')
      .limit(limit + 1)
      .execute()
  )
}
