import { Counter, Gauge, Histogram, type Registry } from 'prom-client'
import type { MailContext } from '../mail/send.ts'
import type { DeliveryContext } from '../webhooks/deliver.ts'
import { type Backlog, mostCounted } from './store.ts'

export type DispatchMetrics = DeliveryContext['metrics'] &
  MailContext['metrics'] & {
    /** The backlog; undefined if it is not known. */
    waiting(backlog: Backlog | undefined): void
  }

/** Counts the deliveries of this process, and shows the backlog in the database, which is the same in every process. */
export function measureDispatch(registry: Registry): DispatchMetrics {
  const registers = [registry]
  const attempts = new Histogram({
    name: 'counterfoil_webhook_attempt_duration_seconds',
    help: 'Attempts to deliver an event to a webhook, by outcome; a failed delivery is not attempted again',
    labelNames: ['outcome'],
    buckets: [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15],
    registers,
  })
  const mails = new Counter({
    name: 'counterfoil_mails_total',
    help: 'Mails by the outcome of an attempt to send them; a failed mail is not sent again',
    labelNames: ['outcome'],
    registers,
  })
  const gauge = (name: string, help: string) =>
    new Gauge({ name: `counterfoil_${name}`, help, aggregator: 'max', registers })
  const counted = `at most ${mostCounted} are counted`
  const gauges = {
    events: gauge('outbox_events', `Events that have not been taken out of the outbox; ${counted}`),
    eventAgeSeconds: gauge('outbox_oldest_age_seconds', 'The age of the oldest event in the outbox'),
    deliveries: gauge('deliveries_pending', `Deliveries that are not finished; ${counted}`),
    deliveryOverdueSeconds: gauge(
      'deliveries_overdue_seconds',
      'By how much the most overdue attempt of a webhook that is not paused or disabled is late',
    ),
    mails: gauge('mails_pending', `Mails that are not sent; ${counted}`),
  }
  const webhooks = new Gauge({
    name: 'counterfoil_webhooks',
    help: 'Webhooks, by status',
    labelNames: ['status'],
    aggregator: 'max',
    registers,
  })
  return {
    attempted: (outcome, durationMs) => attempts.observe({ outcome }, durationMs / 1000),
    mailed: (outcome, number) => mails.inc({ outcome }, number),
    waiting(backlog) {
      for (const [name, one] of Object.entries(gauges))
        one.set(backlog?.[name as keyof typeof gauges] ?? Number.NaN)
      for (const status of ['active', 'failing', 'paused', 'disabled'] as const)
        webhooks.set({ status }, backlog?.webhooks[status] ?? Number.NaN)
    },
  }
}
