import { type Static, Type } from 'typebox'
import type { AuditEvent as Row } from '../db/tables.ts'
import { Page, pageQuery } from '../http/pages.ts'
import { Actor, DateTime, Id, nullable, ref } from '../http/schemas.ts'
import { actions } from './audit.ts'

const Members = Type.Record(Type.String(), Type.Unknown())

export const AuditEvent = Type.Object(
  {
    id: Id,
    occurred_at: DateTime(),
    actor: ref(Actor),
    action: Type.String({ examples: ['token.created'] }),
    target: Type.Object({
      type: Type.String({ examples: ['token'] }),
      id: Type.String(),
      name: Type.String({ description: 'Its name at that time.' }),
    }),
    changes: Type.Unsafe<{ before: Record<string, unknown>; after: Record<string, unknown> } | null>({
      anyOf: [Type.Object({ before: Members, after: Members }), { type: 'null' }],
      description: 'The members that changed.',
    }),
    request_id: Type.String(),
    ip: nullable.string({ description: 'Where the request came from.' }),
  },
  { $id: 'AuditEvent' },
)

export const AuditEventPage = Page(AuditEvent, 'AuditEventPage')
export const components = [AuditEvent, AuditEventPage]

export const AuditQuery = Type.Object(
  {
    actor: Type.Optional(Type.String({ maxLength: 100, description: 'The id of who did it.' })),
    target: Type.Optional(Type.String({ maxLength: 100, description: 'The id of what it was done to.' })),
    action: Type.Optional(Type.Enum([...actions], { type: 'string' })),
    from: Type.Optional(DateTime({ description: 'At that instant or after it.' })),
    to: Type.Optional(DateTime({ description: 'Before that instant.' })),
    ...pageQuery,
  },
  { additionalProperties: false },
)

export function presentEvent(row: Row): Static<typeof AuditEvent> {
  return {
    id: row.id,
    occurred_at: row.occurredAt.toISOString(),
    actor: row.actor,
    action: row.action,
    target: { type: row.targetType, id: row.targetId, name: row.targetName },
    changes: row.changes,
    request_id: row.requestId,
    ip: row.ip,
  }
}
