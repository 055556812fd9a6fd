import { type Static, Type } from 'typebox'
import { actions } from '../audit/audit.ts'
import { Page, pageQuery } from '../http/pages.ts'
import { Actor, DateTime, Id, nullable, ref } from '../http/schemas.ts'
import type { EventFilter } from './store.ts'

const Members = Type.Record(Type.String(), Type.Unknown())

export const AuditEvent = Type.Object(
  {
    id: Id,
    occurred_at: DateTime(),
    actor: ref(Actor),
    on_behalf_of: nullable.string({
      description: 'The subject of the user on whose behalf the actor acted.',
      examples: ['u-4711'],
    }),
    action: Type.String({ examples: ['token.updated'] }),
    target: Type.Object({
      type: Type.String({ examples: ['token'] }),
      id: Type.String({ examples: ['019aa0c4-7c1e-7d43-9f53-0b8f1d2b3c4d'] }),
      name: Type.String({ description: 'The name at that time.', examples: ['Okta SCIM connector'] }),
    }),
    changes: Type.Unsafe<{ before: Record<string, unknown>; after: Record<string, unknown> } | null>({
      anyOf: [Type.Object({ before: Members, after: Members }), { type: 'null' }],
      description:
        'The members that changed; for a new token, what it was granted; for a deleted token, its last state.',
      examples: [{ before: { name: 'Okta' }, after: { name: 'Okta SCIM connector' } }],
    }),
    request_id: Type.String({ examples: ['019aa0c4-7c1e-7d43-9f53-0b8f1d2b3c4e'] }),
    ip: nullable.string({ description: 'Where the request came from.', examples: ['192.0.2.7'] }),
  },
  { $id: 'AuditEvent', description: 'One row of the change log.' },
)

export const AuditEventPage = Page(AuditEvent, 'AuditEventPage')
export const components = [AuditEvent, AuditEventPage]

const filter = {
  actor: Type.Optional(Type.String({ maxLength: 100, description: 'The id of the actor.' })),
  target: Type.Optional(Type.String({ maxLength: 255, description: 'The id of the changed object.' })),
  action: Type.Optional(Type.Enum([...actions], { type: 'string' })),
  from: Type.Optional(DateTime({ description: 'At this instant or later.' })),
  to: Type.Optional(DateTime({ description: 'Before this instant.' })),
}

export const AuditFilter = Type.Object(filter, { additionalProperties: false })
export const AuditQuery = Type.Object({ ...filter, ...pageQuery }, { additionalProperties: false })

export const EventPosition = Type.Object({ occurred_at: DateTime(), id: Id })

export function parseAuditFilter(query: Static<typeof AuditFilter>): EventFilter {
  const { actor, target, action, from, to } = query
  return {
    ...(actor !== undefined && { actor }),
    ...(target !== undefined && { target }),
    ...(action !== undefined && { action }),
    ...(from !== undefined && { from: new Date(from) }),
    ...(to !== undefined && { to: new Date(to) }),
  }
}
