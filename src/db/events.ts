import { type RawBuilder, sql } from 'kysely'
import type { Actor } from '../access/caller.ts'
import { recordedEventTypes } from '../shared/event-types.ts'
import type { Changes } from './tables.ts'

/** Members are named like the table's columns. */
export type NewEvent = {
  organization_id: string
  id: string
  occurred_at: string
  actor: Actor
  on_behalf_of: string | null
  action: string
  target_type: string
  target_id: string
  target_name: string
  changes: Changes | null
  request_id: string
  ip: string | null
}

export const eventColumns = sql`organization_id, id, occurred_at, actor, on_behalf_of, action, target_type, target_id, target_name,
  changes, request_id, ip`

/** An insert of JSON rows into the change log, as a statement of its own or combined with the change. */
export function eventsInsert(events: RawBuilder<unknown>): RawBuilder<never> {
  return sql<never>`insert into audit_events (${eventColumns})
    select ${eventColumns} from json_populate_recordset(null::audit_events, ${events})`
}

/** Inserts the returned rows of `event` (the insert above) into the outbox, from which webhooks and mail are sent. */
export const outboxInsert = sql<never>`insert into outbox (event_id, type, organization_id, subject, occurred_at, data)
  select id, action, organization_id, target_id, occurred_at, json_build_object('actor', actor, 'name', target_name)
  from event where action in (${sql.join(recordedEventTypes.map((type) => sql.lit(type)))})`
