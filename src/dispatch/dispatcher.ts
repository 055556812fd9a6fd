import { setTimeout as delay } from 'node:timers/promises'
import type { Db } from '../db/database.ts'
import { takeEvents } from '../events/take.ts'
import type { Interval } from '../shared/interval.ts'
import { attempt, type Claimed, claimDue, type DeliveryContext } from '../webhooks/deliver.ts'
import { enqueueDeliveries } from '../webhooks/enqueue.ts'

export type DispatcherOptions = DeliveryContext & {
  every: Interval
  onError(error: Error): void
}

/** Takes events out of the outbox and delivers them. Any number of instances may do so at a time. */
export type Dispatcher = {
  /** Delivers until nothing is due, and waits for that. */
  flush(): Promise<void>
  close(): Promise<void>
}

/** How late an event is delivered at worst, while there is room. */
const everyMs = 1_000
/** How many deliveries are attempted at a time. */
const mostAttempts = 100
/** How long attempts in progress may go on when the process ends. */
const closingMs = 3_000

export function createDispatcher(db: Db, { every, onError, ...context }: DispatcherOptions): Dispatcher {
  const { now } = context
  const attempts = new Map<Claimed, Promise<void>>()
  const ending = new AbortController()
  let closed = false
  let working: Promise<void> | undefined
  let again = false

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
      await takeEvents(
        db,
        (tx, events) => enqueueDeliveries(tx, events, now()),
        () => closed,
      )
      await attemptDue()
    }
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

  const stop = every(everyMs, () => void work().catch(onError))

  return {
    async flush() {
      do {
        await work()
        await Promise.all(attempts.values())
      } while (working || attempts.size > 0)
    },
    async close() {
      stop()
      closed = true
      await working?.catch(onError)
      const finished = Promise.all(attempts.values())
      if (attempts.size > 0) await Promise.race([finished, delay(closingMs, undefined, { ref: false })])
      ending.abort()
      await finished
    },
  }
}
