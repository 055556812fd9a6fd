import { validate as isUuid } from 'uuid'
import { type Caller, reaches, requirePermission } from '../access/caller.ts'
import type { Action } from '../audit/audit.ts'
import type { Db } from '../db/database.ts'
import type { AuditEvent } from '../db/tables.ts'
import { findReachableOrganization, noSuchOrganization } from '../organizations/lookup.ts'
import { type EventPosition, type EventQuery, selectEvents } from './store.ts'

/**
 * The change log of an organization, newest first. Events are ordered by when their requests arrived, according to the
 * clock of the instance that received them. An event that is still being committed, or comes from an instance whose
 * clock is behind, can therefore appear behind a position that a reader has already passed. A reader that follows the
 * log should start a little before the newest event it knows, and skip known ids.
 */
export async function listAuditEvents(
  db: Db,
  caller: Caller,
  organization: string,
  query: EventQuery,
): Promise<AuditEvent[]> {
  return selectEvents(db, await readableLog(db, caller, organization), query)
}

/**
 * The id of an organization whose log the caller may read. A deleted organization's log can still be read by its id.
 */
export async function readableLog(db: Db, caller: Caller, organization: string): Promise<string> {
  const found = await findReachableOrganization(db, caller, organization)
  const isReadable = found !== undefined || (isUuid(organization) && reaches(caller.principal, organization))
  if (!isReadable) throw noSuchOrganization()
  requirePermission(caller, 'audit:read')
  return found?.id ?? organization
}

export function positionOf({ occurredAt, id }: AuditEvent): EventPosition {
  return { occurred_at: occurredAt.toISOString(), id }
}

export async function hasEvent(db: Db, organizationId: string, action: Action): Promise<boolean> {
  return (await selectEvents(db, organizationId, { action, limit: 0 })).length > 0
}
