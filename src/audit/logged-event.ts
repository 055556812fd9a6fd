import type { Actor } from '../access/caller.ts'
import type { AuditEvent, Changes } from '../db/tables.ts'

/** An event of the change log as the API shows it. */
export type LoggedEvent = {
  id: string
  occurred_at: string
  actor: Actor
  on_behalf_of: string | null
  action: string
  target: { type: string; id: string; name: string }
  changes: Changes | null
  request_id: string
  ip: string | null
}

export function presentEvent(row: AuditEvent): LoggedEvent {
  return {
    id: row.id,
    occurred_at: row.occurredAt.toISOString(),
    actor: row.actor,
    on_behalf_of: row.onBehalfOf,
    action: row.action,
    target: { type: row.targetType, id: row.targetId, name: row.targetName },
    changes: row.changes,
    request_id: row.requestId,
    ip: row.ip,
  }
}
