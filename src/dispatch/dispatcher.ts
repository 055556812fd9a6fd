import { setTimeout as delay } from 'node:timers/promises'
import type { Db } from '../db/database.ts'
import type { Event } from '../events/events.ts'
import { takeEvents } from '../events/take.ts'
import { enqueueMails } from '../mail/enqueue.ts'
import { type MailContext, sendDue } from '../mail/send.ts'
import { giveNotices } from '../notices/notices.ts'
import type { Interval } from '../shared/interval.ts'
import { attempt, type Claimed, claimDue, type DeliveryContext } from '../webhooks/deliver.ts'
import { enqueueDeliveries } from '../webhooks/enqueue.ts'
import type { DispatchMetrics } from './metrics.ts'
import { selectBacklog } from './store.ts'

export type DispatcherOptions = DeliveryContext & {
  /** Undefined: no mail is sent. */
  mail: Pick<MailContext, 'mailer' | 'url'> | undefined
  metrics: DispatchMetrics
  every: Interval
  onError(error: Error): void
}

/**
 * Finds tokens to announce, takes events out of the outbox, and delivers them by webhooks and mail. Any number of
 * instances may run it at the same time.
 */
export type Dispatcher = {
  /** Creates notices, delivers until nothing is due, and resolves then. */
  flush(): Promise<void>
  /** Updates the metrics of the backlog. */
  measureBacklog(): Promise<void>
  close(): Promise<void>
}

/** The longest delay of a delivery while there is room. */
const everyMs = 1_000
/** How often to look for tokens to announce. */
const noticesEveryMs = 60_000
/**
 * How often the metrics of the backlog are updated. They are not computed when they are read, since reading must work
 * without the database.
 */
const backlogEveryMs = 10_000
/** How many deliveries are attempted at a time. */
const mostAttempts = 100
/** How long attempts in progress may continue when the process ends. */
const closingMs = 3_000

export function createDispatcher(
  db: Db,
  { every, onError, mail, ...context }: DispatcherOptions,
): Dispatcher {
  const { now, metrics } = context
  const attempts = new Map<Claimed, Promise<void>>()
  const ending = new AbortController()
  let closed = false
  let working: Promise<void> | undefined
  let again = false
  let sending: Promise<void> | undefined
  const isClosed = () => closed

  /** Runs one round at a time; a request during a round starts another one after it. */
  function work(): Promise<void> {
    again = true
    working ??= rounds().finally(() => {
      working = undefined
    })
    return working
  }

  async function rounds(): Promise<void> {
    while (again && !closed) {
      again = false
      await takeEvents(db, enqueue, isClosed)
      await attemptDue()
    }
  }

  async function enqueue(tx: Db, events: Event[]): Promise<void> {
    await enqueueDeliveries(tx, events, now())
    if (mail) await enqueueMails(tx, events, now())
  }

  /** Separate from webhooks, so that a slow mail server does not delay them. */
  function sendMails(): Promise<void> {
    sending ??= sendAll().finally(() => {
      sending = undefined
    })
    return sending
  }

  async function sendAll(): Promise<void> {
    let more = mail !== undefined
    while (mail && more && !closed) more = await sendDue(db, { ...context, ...mail }, isClosed)
  }

  async function attemptDue(): Promise<void> {
    const free = mostAttempts - attempts.size
    if (free === 0 || closed) return
    const busy: Record<string, number> = {}
    for (const { webhookId } of attempts.keys()) busy[webhookId] = (busy[webhookId] ?? 0) + 1
    for (const claimed of await claimDue(db, now(), free, busy)) {
      const attempted = attempt(db, claimed, context, ending.signal)
        // After an error of the database, the delivery becomes due again when its claim lapses.
        .catch(onError)
        .finally(() => {
          attempts.delete(claimed)
          // There is room, and the next delivery of the same subject may be due.
          if (!closed) work().catch(onError)
        })
      attempts.set(claimed, attempted)
    }
  }

  async function measureBacklog(): Promise<void> {
    try {
      metrics.waiting(await selectBacklog(db, now()))
    } catch (error) {
      metrics.waiting(undefined)
      throw error
    }
  }

  const stops = [
    every(everyMs, () => {
      work().catch(onError)
      sendMails().catch(onError)
    }),
    every(noticesEveryMs, () => void giveNotices(db, now()).catch(onError)),
    every(backlogEveryMs, () => void measureBacklog().catch(onError)),
  ]

  return {
    async flush() {
      await giveNotices(db, now())
      do {
        await work()
        await Promise.all(attempts.values())
      } while (working || attempts.size > 0)
      await sendMails()
    },
    measureBacklog,
    async close() {
      for (const stop of stops) stop()
      closed = true
      await working?.catch(onError)
      const finished = Promise.all(attempts.values())
      if (attempts.size > 0) await Promise.race([finished, delay(closingMs, undefined, { ref: false })])
      ending.abort()
      await finished
      await sending?.catch(onError)
      mail?.mailer.close()
    },
  }
}
