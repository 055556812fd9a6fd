import { randomBytes } from 'node:crypto'
import { listen } from '../db/listener.ts'
import type { Repeat } from '../repeat.ts'

/** How old the newest beat that came back may be, counted from when it was sent. */
export const leaseMs = 1_000
export const beatMs = 250

export type LeaseOptions = {
  listenUrl: string
  /** Sends a notification the way by which changes reach the database. */
  notify(channel: string, payload: string): Promise<unknown>
  /** A change was announced, by the hash of a secret or as 'all'. */
  changed(what: string): void
  /** From here on changes may be missed. */
  lost(): void
  /** Told whenever the lease begins or ends. */
  onLease(holds: boolean): void
  onError(error: Error): void
  /** Milliseconds that only ever go forward. */
  elapsed(): number
  every: Repeat
}

export type Lease = {
  /** True while every change that was committed more than a second ago is certain to have been announced here. */
  holds(): boolean
  /** Resolves when every change that was committed before the call has been announced here, or the lease is lost. */
  settled(): Promise<void>
  close(): void
}

/**
 * The right to answer from memory. PostgreSQL delivers notifications in the order of commits. A beat is a notification
 * to ourselves, sent the way by which changes are made and heard on the connection that hears of changes; so when it
 * comes back, every change committed before it was sent has been heard of. See docs/revocation.md for what follows.
 */
export function createLease(options: LeaseOptions): Lease {
  const { listenUrl, notify, changed, lost, onLease, onError, elapsed, every } = options
  const channel = `counterfoil_beat_${randomBytes(8).toString('hex')}`
  let connection: { close(): void } | undefined
  let connecting = false
  let closed = false
  /** When the newest beat that came back was sent; before there is one, when listening began. */
  let since = 0
  let held = false
  /** One complaint for each time that the lease is lost or cannot be had. */
  let complained = false
  let beats = 0
  let beat: { payload: string; sentAt: number; waiting: (() => void)[] } | undefined
  /** Waiting for a beat that is yet to be sent. */
  let waiting: (() => void)[] = []

  function complain(error: Error): void {
    if (!complained) onError(error)
    complained = true
  }

  async function connect(): Promise<void> {
    connecting = true
    try {
      let current: { close(): void } | undefined
      const close = await listen(listenUrl, ['counterfoil_changes', channel], {
        heard: (where, payload) => {
          if (current !== connection) return
          if (where === channel) returned(payload)
          else changed(payload)
        },
        broken: (error) => {
          if (error) complain(error)
          if (current === connection) lose()
        },
      })
      current = { close }
      if (closed) return close()
      connection = current
      since = elapsed()
      send()
    } catch (error) {
      complain(error as Error)
    } finally {
      connecting = false
    }
  }

  function send(): void {
    if (beat || !connection) return
    beats += 1
    const sent = { payload: String(beats), sentAt: elapsed(), waiting }
    waiting = []
    beat = sent
    notify(channel, sent.payload).catch((error) => {
      complain(error)
      if (beat !== sent) return
      beat = undefined
      waiting.push(...sent.waiting)
    })
  }

  function returned(payload: string): void {
    if (beat?.payload !== payload) return
    const { sentAt, waiting: done } = beat
    beat = undefined
    since = sentAt
    complained = false
    if (!held) {
      held = true
      onLease(true)
    }
    for (const resolve of done) resolve()
    if (waiting.length > 0) send()
  }

  function lose(): void {
    if (held) onLease(false)
    held = false
    connection?.close()
    connection = undefined
    lost()
    const released = [...(beat?.waiting ?? []), ...waiting]
    beat = undefined
    waiting = []
    for (const resolve of released) resolve()
  }

  function holds(): boolean {
    if (held && elapsed() - since >= leaseMs) lose()
    return held
  }

  function tick(): void {
    if (connection && elapsed() - since >= leaseMs) {
      complain(new Error('notifications of the database do not arrive'))
      lose()
    }
    if (connection) send()
    else if (!connecting && !closed) void connect()
  }

  const stop = every(beatMs, tick)
  void connect()
  return {
    holds,
    async settled() {
      if (!holds()) return
      const { promise, resolve } = Promise.withResolvers<void>()
      waiting.push(resolve)
      send()
      return promise
    },
    close() {
      closed = true
      stop()
      lose()
    },
  }
}
