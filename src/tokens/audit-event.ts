import type { Action, NewAuditEvent } from '../audit/audit.ts'
import type { Changes } from '../db/tables.ts'
import type { Token } from './store.ts'

/** What is done to a token, for the change log. */
export function tokenEvent(
  action: Action,
  { organizationId, id, name }: Pick<Token, 'organizationId' | 'id' | 'name'>,
  changes?: Changes,
): NewAuditEvent {
  return { organizationId, action, target: { type: 'token', id, name }, ...(changes && { changes }) }
}
