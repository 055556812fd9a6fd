import { v7 as uuid } from 'uuid'
import type { Caller } from '../access/caller.ts'
import { record } from '../audit/audit.ts'
import type { Db } from '../db/database.ts'
import type { Delivery, DeliveryStatus } from '../db/tables.ts'
import { bodyOf } from '../events/events.ts'
import { AppError, invalidValue } from '../shared/errors.ts'
import * as store from './delivery-store.ts'
import { changingWebhook, getWebhook, isStopped, type Which, webhookEvent } from './webhooks.ts'

type WhichWebhook = Omit<Which, 'expected'>

export type DeliveryQuery = { status?: DeliveryStatus; before?: string; limit: number }

/** The deliveries to repeat, by when their events occurred. */
export type ReplayRange = { since: Date; until: Date | undefined; statuses: DeliveryStatus[] }

const mostReplayed = 10_000

/** Newest first. */
export async function listDeliveries(
  db: Db,
  caller: Caller,
  which: WhichWebhook,
  query: DeliveryQuery,
): Promise<Delivery[]> {
  return store.selectDeliveries(db, await getWebhook(db, caller, which), query)
}

/** Sends the webhook a test event, regardless of its subscriptions. */
export async function testWebhook(db: Db, caller: Caller, which: WhichWebhook): Promise<Delivery> {
  return changingWebhook(db, caller, { ...which, expected: undefined }, async (tx, webhook) => {
    if (isStopped(webhook))
      throw new AppError('suspended', 'The webhook is paused or disabled: set `paused` to false first.')
    const id = uuid()
    const type = 'webhook.test'
    const data = { organization_id: webhook.organizationId, organization: which.organization }
    const delivery = {
      ...({ organizationId: webhook.organizationId, webhookId: webhook.id, id, type, subject: id } as const),
      body: bodyOf(type, caller.now, { ...data, webhook: { id: webhook.id } }),
      occurredAt: caller.now,
      nextAttemptAt: caller.now,
    }
    await store.insertDeliveries(tx, [delivery])
    await record(tx, caller, webhookEvent('webhook.tested', webhook))
    const [made] = await store.selectDeliveries(tx, webhook, { limit: 0 })
    return made as Delivery
  })
}

/** Repeats a delivery in any state. The message keeps its `webhook-id`. */
export async function replayDelivery(
  db: Db,
  caller: Caller,
  { delivery, ...which }: WhichWebhook & { delivery: string },
): Promise<Delivery> {
  return changingWebhook(db, caller, { ...which, expected: undefined }, async (tx, webhook) => {
    const replayed = await store.replayDelivery(tx, { ...webhook, delivery }, caller.now)
    if (!replayed) throw new AppError('not_found', 'The webhook has no such delivery.')
    const { subject, ...shown } = replayed
    await store.hastenDeliveries(tx, webhook, caller.now, subject)
    const changes = { before: {}, after: { delivery, count: 1 } }
    await record(tx, caller, webhookEvent('webhook.replayed', webhook, changes))
    return shown
  })
}

/** Repeats the oldest deliveries in a range; `more` says whether there may be others. */
export async function replayDeliveries(
  db: Db,
  caller: Caller,
  which: WhichWebhook,
  { since, until, statuses }: ReplayRange,
): Promise<{ replayed: number; more: boolean }> {
  if (until && since >= until) throw invalidValue('until', 'is not after since')
  return changingWebhook(db, caller, { ...which, expected: undefined }, async (tx, webhook) => {
    const range = { since, until, statuses, now: caller.now, limit: mostReplayed }
    const replayed = await store.replayDeliveries(tx, webhook, range)
    await store.hastenDeliveries(tx, webhook, caller.now)
    const after = { since: since.toISOString(), until: until?.toISOString() ?? null, count: replayed }
    await record(tx, caller, webhookEvent('webhook.replayed', webhook, { before: {}, after }))
    return { replayed, more: replayed === mostReplayed }
  })
}
