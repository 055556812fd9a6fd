import { randomBytes } from 'node:crypto'
import { isStandby } from '../db/client.ts'
import { listen } from '../db/listener.ts'
import type { Origin } from '../db/origin.ts'
import type { Interval } from '../shared/interval.ts'

/** For answers from the cache: how long ago the newest beat that came back may have been sent. */
export const leaseMs = 1_000
/** The same for answers from the database: the bound that docs/revocation.md promises. */
export const boundMs = 2_000
export const beatMs = 250

/** Why the lease does not hold. */
type Reason = keyof typeof reasons

const reasons = {
  starting: 'No notification from the database has come back yet.',
  unreachable: 'The database does not respond.',
  standby: 'The database server is in recovery. Connect to the primary.',
  silent:
    'Notifications from the database do not arrive. DATABASE_LISTEN_URL must lead to the same server as ' +
    'DATABASE_URL, but not through a pooler in transaction mode.',
  elsewhere: 'Lookups and notifications reach different database servers.',
}

export type LeaseOptions = {
  listenUrl: string
  /** Sends a notification over the connection path that changes use. */
  notify(channel: string, payload: string): Promise<unknown>
  /**
   * Called when a change is announced: the hash of a secret, 'static-secret' for AUTH_SECRET, 'imported-prefixes', or
   * 'all'.
   */
  changed(what: string): void
  /** Called when changes may be missed from now on. */
  lost(): void
  /** Called when the lease is acquired or lost, with the reason for the loss. */
  onLease(holds: boolean, reason?: Reason): void
  /** Called when the database continues on another timeline or was replaced: commits may be missing. */
  onTimeline(before: string, now: string): void
  /** Called with the round trip of every beat that came back. */
  onBeat(ms: number): void
  onError(error: Error): void
  /** A monotonic clock in milliseconds. */
  elapsed(): number
  every: Interval
}

export type LeaseStatus = {
  held: boolean
  /** How long ago the newest beat that came back was sent. */
  beatAgeMs: number
  /** Why the cache may not answer. */
  reason: Reason | undefined
  /** How often the lease was lost, by reason. */
  losses: Partial<Record<Reason, number>>
  /** How often the database came back on another timeline. */
  timelineChanges: number
}

export type Lease = {
  /** True while every change committed more than a second ago is certain to have been announced here. */
  holds(): boolean
  /** Resolves when every change committed before the call has been announced here, or the lease is lost. */
  settled(): Promise<void>
  /**
   * Why an answer from that server (identified by the start of its postmaster; null if it is in recovery) cannot be
   * trusted; undefined if it can, because a beat sent through the same server less than two seconds ago came back.
   */
  doubt(server: string | null): Promise<string | undefined>
  /**
   * The same, but only a beat sent from now on counts: it proves that the server accepts notifications at this moment.
   */
  doubtNow(server: string | null): Promise<string | undefined>
  /** The same as `doubt` for the server that notifications come from. */
  unready(): Promise<string | undefined>
  status(): LeaseStatus
  close(): void
}

/**
 * The permission to answer from the cache. PostgreSQL delivers notifications in commit order. A beat is a notification
 * that a process sends to itself: over the path that changes take, and received on the connection that receives the
 * changes. When it comes back, every change committed before it was sent has been received. docs/revocation.md explains
 * the consequences.
 */
export function createLease(options: LeaseOptions): Lease {
  const { listenUrl, notify, changed, lost, onLease, onTimeline, onBeat, onError, elapsed, every } = options
  const channel = `counterfoil_beat_${randomBytes(8).toString('hex')}`
  let connection: { close(): void; origin: Origin } | undefined
  let connecting = false
  let closed = false
  /** When the newest beat that came back was sent; before the first one, when listening began. */
  let since = 0
  let held = false
  let reason: Reason | undefined = 'starting'
  /** Log once each time the lease is lost or cannot be acquired. */
  let reported = false
  let beats = 0
  let beat: { payload: string; sentAt: number; waiting: (() => void)[] } | undefined
  /** Callers that need a beat which has not been sent yet. */
  let waiting: (() => void)[] = []
  /** The newest beat that came back, and the server it came through. */
  let returnedFrom: { server: string; sentAt: number } | undefined
  let timeline: string | undefined
  let timelineChanges = 0
  const losses: LeaseStatus['losses'] = {}
  const startedAt = elapsed()
  /** Resolves when a beat comes back or the connection attempt ends. */
  let progress = Promise.withResolvers<void>()

  function notifyWaiters(): void {
    progress.resolve()
    progress = Promise.withResolvers()
  }

  function complain(error: Error, why: Reason = isStandby(error) ? 'standby' : 'unreachable'): void {
    if (!held) reason = why
    if (!reported) onError(error)
    reported = true
  }

  async function connect(): Promise<void> {
    connecting = true
    try {
      let current: typeof connection
      const { close, origin } = await listen(listenUrl, ['counterfoil_changes', channel], {
        onNotification: (where, payload) => {
          if (current !== connection) return
          if (where === channel) returned(payload)
          else changed(payload)
        },
        onBroken: (error) => {
          if (current === connection) lose('unreachable', error)
        },
      })
      current = { close, origin }
      if (closed) return close()
      connection = current
      since = elapsed()
      if (timeline !== undefined && timeline !== origin.timeline) {
        timelineChanges += 1
        onTimeline(timeline, origin.timeline)
      }
      timeline = origin.timeline
      send()
    } catch (error) {
      complain(error as Error)
    } finally {
      connecting = false
      notifyWaiters()
    }
  }

  function send(): void {
    if (beat || !connection) return
    beats += 1
    const sent = { payload: String(beats), sentAt: elapsed(), waiting }
    waiting = []
    beat = sent
    notify(channel, sent.payload).catch((error) => {
      if (beat !== sent) return
      complain(error)
      beat = undefined
      waiting.push(...sent.waiting)
      notifyWaiters()
    })
  }

  function returned(payload: string): void {
    if (beat?.payload !== payload || !connection) return
    const { sentAt, waiting: done } = beat
    beat = undefined
    since = sentAt
    onBeat(elapsed() - sentAt)
    returnedFrom = { server: connection.origin.server, sentAt }
    reported = false
    reason = undefined
    if (!held) {
      held = true
      onLease(true)
    }
    for (const resolve of done) resolve()
    notifyWaiters()
    if (waiting.length > 0) send()
  }

  function lose(why: Reason, error = new Error(reasons[why])): void {
    if (held) {
      losses[why] = (losses[why] ?? 0) + 1
      onLease(false, why)
    }
    held = false
    complain(error, why)
    disconnect()
  }

  function disconnect(): void {
    connection?.close()
    connection = undefined
    lost()
    const released = [...(beat?.waiting ?? []), ...waiting]
    beat = undefined
    waiting = []
    for (const resolve of released) resolve()
    notifyWaiters()
  }

  function holds(): boolean {
    if (held && elapsed() - since >= leaseMs) lose('silent')
    return held
  }

  function tick(): void {
    if (connection && elapsed() - since >= leaseMs) {
      lose('silent')
    }
    if (connection) send()
    else if (!connecting && !closed) void connect()
    notifyWaiters()
  }

  /** For the server that notifications come from unless one is given, and for a beat sent after `after` if given. */
  async function doubt(server = connection?.origin.server, after?: number): Promise<string | undefined> {
    const began = elapsed()
    let waited = false
    for (;;) {
      const from = server ?? connection?.origin.server
      if (connection && connection.origin.server !== from) {
        lose('elsewhere')
        return reasons.elsewhere
      }
      const isFresh = (sentAt: number) =>
        after === undefined ? elapsed() - sentAt < boundMs : sentAt >= after
      if (returnedFrom && returnedFrom.server === from && isFresh(returnedFrom.sentAt)) return undefined
      const underway = connecting || beat !== undefined
      if (closed || elapsed() - began >= boundMs || (waited && !underway)) return reasons[reason ?? 'silent']
      // Send the beat that is due now: timers may be late.
      if (!waited) tick()
      waited = true
      await progress.promise
    }
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
    doubt: async (server) => (server === null ? reasons.standby : doubt(server)),
    async doubtNow(server) {
      if (server === null) return reasons.standby
      const now = elapsed()
      // Ensures that another beat follows the one in flight.
      waiting.push(() => {})
      send()
      return doubt(server, now)
    },
    unready: () => doubt(),
    status: () => ({
      held: holds(),
      beatAgeMs: elapsed() - (returnedFrom?.sentAt ?? startedAt),
      reason,
      losses,
      timelineChanges,
    }),
    close() {
      closed = true
      stop()
      disconnect()
    },
  }
}
