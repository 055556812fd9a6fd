import { v7 as uuid } from 'uuid'
import type { Actor } from '../access/caller.ts'
import { record } from '../audit/audit.ts'
import type { Db } from '../db/database.ts'
import type { Webhook } from '../db/tables.ts'
import { emit } from '../events/events.ts'
import type { Signing } from '../keys/signing.ts'
import { OutboundError } from '../outbound/error.ts'
import type { Outbound } from '../outbound/outbound.ts'
import { retryAt } from '../shared/retry.ts'
import { traced } from '../shared/tracing.ts'
import * as deliveries from './delivery-store.ts'
import { secondsOf, signatureOf } from './signature.ts'
import { lockWebhook, updateWebhook } from './store.ts'
import { webhookEvent } from './webhooks.ts'

export type DeliveryContext = {
  outbound: Outbound
  signing: Signing
  now: () => Date
  log: { warn(facts: object, message: string): void }
  metrics: { attempted(outcome: 'delivered' | 'postponed' | 'failed', durationMs: number): void }
}

/** The timeout of an attempt, and the time after which another instance may take over. */
const attemptMs = 15_000
const leaseMs = 60_000

const hourMs = 60 * 60 * 1000
/** After this time without a success a failure is announced, and later the webhook is disabled. */
const announceAfterMs = 24 * hourMs
const disableAfterMs = 5 * 24 * hourMs

/**
 * The number of concurrent attempts for one webhook. One that fails for a minute gets fewer, to leave room for others.
 */
const most = { usual: 10, failing: 1 }
const failingMs = 60_000

export type Claimed = deliveries.Claimed

/** Deliveries that are due, at most `free`; `busy` says how many are being attempted, by webhook. */
export async function claimDue(
  db: Db,
  now: Date,
  free: number,
  busy: Record<string, number>,
): Promise<Claimed[]> {
  const until = new Date(now.getTime() + leaseMs)
  const failingSince = new Date(now.getTime() - failingMs)
  return deliveries.claimDeliveries(db, { now, until, free, busy, most, failingSince })
}

/** Attempts a delivery that was claimed, and stores the result. An attempt that `signal` ends does not count. */
export function attempt(
  db: Db,
  claimed: Claimed,
  context: DeliveryContext,
  signal: AbortSignal,
): Promise<void> {
  const attributes = {
    'counterfoil.organization.id': claimed.organizationId,
    'counterfoil.webhook.id': claimed.webhookId,
    'counterfoil.delivery.id': claimed.id,
  }
  const work = () => attemptOnce(db, claimed, context, signal)
  return traced('deliver webhook', { kind: 'producer', attributes, of: [] }, work)
}

async function attemptOnce(
  db: Db,
  claimed: Claimed,
  { outbound, signing, now, log, metrics }: DeliveryContext,
  signal: AbortSignal,
): Promise<void> {
  const attemptedAt = now()
  const message = { id: claimed.id, timestamp: attemptedAt, body: claimed.body }
  const started = performance.now()
  const result = await post({ outbound, signing }, claimed, message, signal)
  if (signal.aborted) return deliveries.releaseDelivery(db, claimed, now())
  const { status: responseStatus = null, error = null } = result
  const durationMs = Math.round(performance.now() - started)
  const outcome = { attemptedAt, durationMs, responseStatus, error }
  if (error === null) {
    metrics.attempted('delivered', durationMs)
    await deliveries.settleDelivery(db, claimed, { ...outcome, status: 'delivered', nextAttemptAt: null })
    if (claimed.failingSince) await deliveries.clearFailing(db, claimed)
    return
  }
  const { organizationId: organization, webhookId: webhook, id: delivery, attempts } = claimed
  log.warn({ organization, webhook, delivery, attempts: attempts + 1, error }, 'webhook delivery failed')
  const nextAttemptAt = retryAt(attempts + 1, now(), result.retryAfter)
  const status = nextAttemptAt ? 'pending' : 'failed'
  metrics.attempted(nextAttemptAt ? 'postponed' : 'failed', durationMs)
  const gone = responseStatus === 410
  await db.transaction().execute(async (tx) => {
    // Before the deliveries, in the same order as requests that change the webhook.
    const key = { organizationId: organization, id: webhook }
    const noted = gone || isNotable(claimed, now()) ? await lockWebhook(tx, key) : undefined
    if (!(await deliveries.settleDelivery(tx, claimed, { ...outcome, status, nextAttemptAt }))) return
    if (nextAttemptAt) await deliveries.postponeFollowers(tx, claimed, nextAttemptAt)
    if (noted && !noted.disabledAt) await noteFailure(tx, noted, now(), gone)
  })
}

type Result = { status?: number; error?: string; retryAfter?: string | undefined }

async function post(
  { outbound, signing: { masterKeys } }: Pick<DeliveryContext, 'outbound' | 'signing'>,
  claimed: Claimed,
  message: { id: string; timestamp: Date; body: string },
  signal: AbortSignal,
): Promise<Result> {
  const signature = await signatureOf(message, { ...claimed, id: claimed.webhookId }, masterKeys)
  if (signature === undefined)
    return { error: 'cannot be signed: the master key of this instance does not open the secret' }
  const headers = {
    'webhook-id': message.id,
    'webhook-timestamp': secondsOf(message.timestamp),
    'webhook-signature': signature,
  }
  try {
    const { body } = message
    const { status, retryAfter } = await outbound.post(claimed.url, {
      headers,
      body,
      timeoutMs: attemptMs,
      signal,
    })
    const isSuccess = status >= 200 && status < 300
    return isSuccess ? { status } : { status, retryAfter, error: `responds with the status ${status}` }
  } catch (error) {
    if (error instanceof OutboundError) return { error: error.message }
    throw error
  }
}

/** Whether it is the first failure, or an announcement may be due. */
function isNotable({ failingSince }: Claimed, now: Date): boolean {
  return !failingSince || now.getTime() - failingSince.getTime() >= announceAfterMs
}

/** By how long a webhook has failed, and never by how often: a busy one would be disabled by a short outage. */
async function noteFailure(tx: Db, webhook: Webhook, now: Date, gone: boolean): Promise<void> {
  const failingSince = webhook.failingSince ?? now
  const failingMs = now.getTime() - failingSince.getTime()
  if (gone) return disable(tx, webhook, now, 'It responded with the status 410 (Gone).')
  if (failingMs >= disableAfterMs)
    return disable(tx, webhook, now, 'Every attempt of the last five days has failed.')
  if (!webhook.failingSince) await updateWebhook(tx, webhook, { failingSince })
  if (failingMs < announceAfterMs || webhook.failingAnnouncedAt) return
  await updateWebhook(tx, webhook, { failingAnnouncedAt: now })
  await emit(tx, [
    {
      type: 'webhook.failing',
      organizationId: webhook.organizationId,
      subject: webhook.id,
      occurredAt: now,
      data: {
        name: new URL(webhook.url).origin,
        failing_since: failingSince.toISOString(),
        disabled_at: new Date(failingSince.getTime() + disableAfterMs).toISOString(),
      },
    },
  ])
}

const actor: Actor = { type: 'system', id: 'webhooks', name: 'Delivery of webhooks' }

async function disable(tx: Db, webhook: Webhook, now: Date, reason: string): Promise<void> {
  const disabled = await updateWebhook(tx, webhook, {
    failingSince: webhook.failingSince ?? now,
    disabledAt: now,
    disabledReason: reason,
  })
  const origin = { actor, requestId: uuid(), ip: null, now }
  const changes = { before: {}, after: { reason } }
  await record(tx, origin, webhookEvent('webhook.disabled', disabled, changes))
}
