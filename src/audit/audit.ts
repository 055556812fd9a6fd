import { v7 as uuid } from 'uuid'
import type { Origin } from '../access/caller.ts'
import type { Db } from '../db/database.ts'
import type { NewEvent } from '../db/events.ts'
import type { Changes } from '../db/tables.ts'
import { insertEvents } from './store.ts'

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
  'signal_stream.created',
  'signal_stream.updated',
  'signal_stream.deleted',
  'token_type.created',
  'token_type.updated',
  'token_type.suspended',
  'token_type.resumed',
  'token_type.deleted',
  'owner.provisioned',
  'owner.deprovisioned',
  'owner.signal_received',
  'owner.updated',
  'owner.suspended',
  'owner.resumed',
  'token.created',
  'token.imported',
  'token.updated',
  'token.revoked',
  'token.deleted',
  'token.rotated',
  'token.rotation_activated',
  'token.rotation_finished',
  'token.rotation_cancelled',
  'token.superseded_secret_used',
  'token.leaked',
  'signing_key.rotated',
  'signing_key.retired',
  'signing_key.rewrapped',
  'client_keys.replaced',
  'client_keys.deleted',
  'session.created',
  'session.rejected',
  'session.updated',
  'session.ended',
  'webhook.created',
  'webhook.updated',
  'webhook.deleted',
  'webhook.secret_rotated',
  'webhook.tested',
  'webhook.replayed',
  'webhook.disabled',
] as const

export type Action = (typeof actions)[number]

export type NewAuditEvent = {
  organizationId: string
  action: Action
  target: {
    type:
      | 'organization'
      | 'policy'
      | 'token_type'
      | 'owner'
      | 'token'
      | 'signing_key'
      | 'trusted_issuer'
      | 'session'
      | 'webhook'
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

/** Writes several rows, for a change that affects many objects. */
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
