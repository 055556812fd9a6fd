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

/**
 * Writes one row of the change log. Call it in the transaction of the change, so that both are committed or neither.
 */
export async function record(tx: Db, origin: Origin, event: NewAuditEvent): Promise<void> {
  await recordAll(tx, origin, [event])
}

/** Writes several rows, for a change that affects many things. */
export async function recordAll(tx: Db, origin: Origin, events: NewAuditEvent[]): Promise<void> {
  await insertEvents(
    tx,
    events.map((event) => eventOf(origin, event)),
  )
}

/** Builds the row for a statement that also makes the change. */
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
