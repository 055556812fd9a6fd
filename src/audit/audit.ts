import { validate as isUuid, v7 as uuid } from 'uuid'
import { type Caller, type Origin, reaches, requirePermission } from '../access/caller.ts'
import type { Db } from '../db/database.ts'
import type { NewEvent } from '../db/events.ts'
import type { AuditEvent, Changes } from '../db/tables.ts'
import { reachableOrganization } from '../organizations/lookup.ts'
import { type EventPosition, type EventQuery, insertEvents, selectEvents } from './store.ts'

/** Every action that is recorded. */
export const actions = [
  'organization.created',
  'organization.updated',
  'organization.suspended',
  'organization.resumed',
  'organization.deleted',
  'policy.updated',
  'trusted_issuer.created',
  'trusted_issuer.updated',
  'trusted_issuer.deleted',
  'token_type.created',
  'token_type.updated',
  'token_type.suspended',
  'token_type.resumed',
  'token_type.deleted',
  'token.created',
  'token.updated',
  'token.revoked',
  'token.deleted',
  'signing_key.rotated',
  'signing_key.retired',
  'signing_key.rewrapped',
  'client_keys.replaced',
  'client_keys.deleted',
] as const

export type Action = (typeof actions)[number]

export type NewAuditEvent = {
  organizationId: string
  action: Action
  target: {
    type: 'organization' | 'policy' | 'token_type' | 'token' | 'signing_key' | 'trusted_issuer'
    id: string
    name: string
  }
  changes?: Changes
}

/** Writes one row of the change log. To be called in the transaction of the change, so that neither is without the other. */
export async function record(tx: Db, origin: Origin, happening: NewAuditEvent): Promise<void> {
  await recordAll(tx, origin, [happening])
}

/** One row each, for a change that touches many things. */
export async function recordAll(tx: Db, origin: Origin, happenings: NewAuditEvent[]): Promise<void> {
  await insertEvents(
    tx,
    happenings.map((happening) => eventOf(origin, happening)),
  )
}

/** The row, for a statement that makes the change as well. */
export function eventOf(
  origin: Origin,
  { organizationId, action, target, changes }: NewAuditEvent,
): NewEvent {
  return {
    organization_id: organizationId,
    id: uuid(),
    occurred_at: origin.now.toISOString(),
    actor: origin.actor,
    on_behalf_of: origin.onBehalfOf ?? null,
    action,
    target_type: target.type,
    target_id: target.id,
    target_name: target.name,
    changes: changes ?? null,
    request_id: origin.requestId,
    ip: origin.ip,
  }
}

/**
 * The change log of an organization, newest first: in the order of the instants at which the requests came in, by
 * the clocks of the instances that took them. What is still being committed, or comes from an instance whose clock
 * is behind, can thus appear behind a position that was read already. Whoever follows the log reads again from a
 * little before the newest event that is known, and tells events apart by their ids.
 */
export async function listAuditEvents(
  db: Db,
  caller: Caller,
  organization: string,
  query: EventQuery,
): Promise<AuditEvent[]> {
  return selectEvents(db, await readableLog(db, caller, organization), query)
}

/** The id of an organization whose log the caller may read. By its id it is readable even after the organization is gone. */
export async function readableLog(db: Db, caller: Caller, organization: string): Promise<string> {
  const known = isUuid(organization) && reaches(caller.principal, organization)
  const organizationId = known ? organization : (await reachableOrganization(db, caller, organization)).id
  requirePermission(caller, 'audit:read')
  return organizationId
}

export function positionOf({ occurredAt, id }: AuditEvent): EventPosition {
  return { occurred_at: occurredAt.toISOString(), id }
}

export async function hasHappened(db: Db, organizationId: string, action: Action): Promise<boolean> {
  return (await selectEvents(db, organizationId, { action, limit: 0 })).length > 0
}
