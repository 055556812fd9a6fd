import type { Db } from '../db/database.ts'
import { bodyOf, dataOf, type Event } from '../events/events.ts'
import { platformId } from '../shared/platform.ts'
import { insertDeliveries } from './delivery-store.ts'
import { selectSubscribers } from './store.ts'

/**
 * Creates a delivery of each event for each webhook that subscribes to it. The platform's webhooks get the events of
 * every organization, as its tokens reach every organization.
 */
export async function enqueueDeliveries(tx: Db, events: Event[], now: Date): Promise<void> {
  const organizations = new Set(events.map(({ organizationId }) => organizationId))
  const webhooks = await selectSubscribers(tx, [...organizations, platformId])
  if (webhooks.length === 0) return
  const deliveries = events.flatMap((event) => {
    const { eventId: id, type, organizationId, subject, occurredAt } = event
    const subscribers = webhooks.filter(
      (webhook) =>
        [organizationId, platformId].includes(webhook.organizationId) &&
        (webhook.events === null || webhook.events.includes(type)) &&
        // A failing webhook cannot report its own failure.
        webhook.id !== subject,
    )
    if (subscribers.length === 0) return []
    const body = bodyOf(type, occurredAt, dataOf(event))
    return subscribers.map((webhook) => ({
      organizationId: webhook.organizationId,
      webhookId: webhook.id,
      id,
      type,
      subject,
      occurredAt,
      body,
      nextAttemptAt: now,
    }))
  })
  await insertDeliveries(tx, deliveries)
}
