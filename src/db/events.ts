import { type RawBuilder, sql } from 'kysely'

const columns = sql`organization_id, id, occurred_at, actor, on_behalf_of, action, target_type, target_id, target_name,
  changes, request_id, ip`

/** An insert of rows in JSON into the change log, for a statement of its own or beside what makes the change. */
export function eventsInsert(events: string): RawBuilder<never> {
  return sql<never>`insert into audit_events (${columns})
    select ${columns} from json_populate_recordset(null::audit_events, ${events})`
}
