import { type RawBuilder, sql } from 'kysely'
import type { Actor } from '../access/caller.ts'
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

const columns = sql`organization_id, id, occurred_at, actor, on_behalf_of, action, target_type, target_id, target_name,
  changes, request_id, ip`

/** An insert of JSON rows into the change log, as a statement of its own or combined with the change. */
export function eventsInsert(events: RawBuilder<unknown>): RawBuilder<never> {
  return sql<never>`insert into audit_events (${columns})
    select ${columns} from json_populate_recordset(null::audit_events, ${events})`
}
