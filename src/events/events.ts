import { v7 as uuid } from 'uuid'
import type { Db } from '../db/database.ts'
import type { EventType } from '../shared/event-types.ts'
import { insertOutbox, type NewOutboxEvent, type TakenEvent } from './store.ts'

export type Event = TakenEvent

export type NewEvent = Omit<NewOutboxEvent, 'eventId'>

/** Writes events that are not actions of the change log. Call it in the transaction of the change. */
export async function emit(tx: Db, events: NewEvent[]): Promise<void> {
  await insertOutbox(
    tx,
    events.map((event) => ({ ...event, eventId: uuid() })),
  )
}

/** The body of a message (Standard Webhooks 1.0, "Payload structure"): identifiers and names, but no secret. */
export function bodyOf(
  type: EventType | 'webhook.test',
  occurredAt: Date,
  data: Record<string, unknown>,
): string {
  return JSON.stringify({ type, timestamp: occurredAt.toISOString(), data })
}

/** The part of a message that describes an event. */
export function dataOf({ type, organizationId, organization, subject, data, token }: Event) {
  const { name, ...more } = data
  const about = {
    organization_id: organizationId,
    organization,
    ...(type.startsWith('token.') && {
      token: {
        id: subject,
        name: token?.name ?? name,
        type: token?.type ?? null,
        hint: token?.hint ?? null,
        owner: token?.owner ?? null,
        expires_at: token?.expiresAt?.toISOString() ?? null,
      },
    }),
    ...(type.startsWith('owner.') && { owner: { subject } }),
    ...(type.startsWith('signing_key.') && { signing_key: { kid: subject } }),
    ...(type.startsWith('webhook.') && { webhook: { id: subject, origin: name } }),
  }
  return { ...about, ...more }
}
