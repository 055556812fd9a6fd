import { randomBytes } from 'node:crypto'
import { isStandby } from '../db/client.ts'
import { listen } from '../db/listener.ts'
import type { Origin } from '../db/origin.ts'
import type { Interval } from '../interval.ts'

/** How old the newest beat that came back may be, counted from when it was sent, for answers from memory. */
export const leaseMs = 1_000
/** The same for answers of the database: the bound that docs/revocation.md promises. */
export const boundMs = 2_000
export const beatMs = 250

/** Why there is no lease. */
type Reason = keyof typeof reasons

const reasons = {
  starting: 'No notification of the database has come back yet.',
  unreachable: 'The database does not answer.',
  standby: 'The database server is in recovery. Connect to the primary.',
  silent:
    'Notifications of the database do not arrive. DATABASE_LISTEN_URL has to lead to the same server as ' +
    'DATABASE_URL, and not through a pooler in transaction mode.',
  elsewhere: 'Lookups and notifications reach different database servers.',
}

export type LeaseOptions = {
  listenUrl: string
  /** Sends a notification the way by which changes reach the database. */
  notify(channel: string, payload: string): Promise<unknown>
  /** A change was announced: by the hash of a secret, as 'static-secret' for AUTH_SECRET, or as 'all'. */
  changed(what: string): void
  /** From here on changes may be missed. */
  lost(): void
  /** Told whenever the lease begins or ends, and why it ended. */
  onLease(holds: boolean, reason?: Reason): void
  /** Told when the database continues on another timeline, or is another one: commits may be missing. */
  onTimeline(before: string, now: string): void
  onError(error: Error): void
  /** Milliseconds that only ever go forward. */
  elapsed(): number
  every: Interval
}

export type LeaseStatus = {
  held: boolean
  /** How long ago the newest beat that came back was sent. */
  beatAgeMs: number
  /** Why answers do not come from memory. */
  reason: Reason | undefined
  /** How often it was lost, by the reason. */
  losses: Partial<Record<Reason, number>>
  /** How often the database came back on another timeline. */
  timelineChanges: number
}

export type Lease = {
  /** True while every change that was committed more than a second ago is certain to have been announced here. */
  holds(): boolean
  /** Resolves when every change that was committed before the call has been announced here, or the lease is lost. */
  settled(): Promise<void>
  /**
   * Why an answer of that server (by the start of its postmaster; null if it is in recovery) is not to be believed, or
   * undefined if it is: a beat that came back from the same server was sent less than two seconds ago.
   */
  doubt(server: string | null): Promise<string | undefined>
  /** The same, but only a beat that is sent from now on counts: the server was still taking notifications now. */
  doubtNow(server: string | null): Promise<string | undefined>
  /** The same as `doubt` of the server that notifications come from. */
  unready(): Promise<string | undefined>
  status(): LeaseStatus
  close(): void
}

/**
 * The right to answer. PostgreSQL delivers notifications in the order of commits. A beat is a notification
 * to ourselves, sent the way by which changes are made and heard on the connection that hears of changes; so when it
 * comes back, every change committed before it was sent has been heard of. See docs/revocation.md for what follows.
 */
export function createLease(options: LeaseOptions): Lease {
  const { listenUrl, notify, changed, lost, onLease, onTimeline, onError, elapsed, every } = options
  const channel = `counterfoil_beat_${randomBytes(8).toString('hex')}`
  let connection: { close(): void; origin: Origin } | undefined
  let connecting = false
  let closed = false
  /** When the newest beat that came back was sent; before there is one, when listening began. */
  let since = 0
  let held = false
  let reason: Reason | undefined = 'starting'
  /** Log once each time the lease is lost or cannot be acquired. */
  let complained = false
  let beats = 0
  let beat: { payload: string; sentAt: number; waiting: (() => void)[] } | undefined
  /** Waiting for a beat that is yet to be sent. */
  let waiting: (() => void)[] = []
  /** The newest beat that came back, and the server that it came from. */
  let returnedFrom: { server: string; sentAt: number } | undefined
  let timeline: string | undefined
  let timelineChanges = 0
  const losses: LeaseStatus['losses'] = {}
  const startedAt = elapsed()
  /** For those who wait for a beat to come back, or for the end of the attempt. */
  let news = Promise.withResolvers<void>()

  function tellNews(): void {
    news.resolve()
    news = Promise.withResolvers()
  }

  function complain(error: Error, why: Reason = isStandby(error) ? 'standby' : 'unreachable'): void {
    if (!held) reason = why
    if (!complained) onError(error)
    complained = true
  }

  async function connect(): Promise<void> {
    connecting = true
    try {
      let current: typeof connection
      const { close, origin } = await listen(listenUrl, ['counterfoil_changes', channel], {
        heard: (where, payload) => {
          if (current !== connection) return
          if (where === channel) returned(payload)
          else changed(payload)
        },
        broken: (error) => {
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
      tellNews()
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
      tellNews()
    })
  }

  function returned(payload: string): void {
    if (beat?.payload !== payload || !connection) return
    const { sentAt, waiting: done } = beat
    beat = undefined
    since = sentAt
    returnedFrom = { server: connection.origin.server, sentAt }
    complained = false
    reason = undefined
    if (!held) {
      held = true
      onLease(true)
    }
    for (const resolve of done) resolve()
    tellNews()
    if (waiting.length > 0) send()
  }

  function lose(why: Reason, error = new Error(reasons[why])): void {
    if (held) {
      losses[why] = (losses[why] ?? 0) + 1
      onLease(false, why)
    }
    held = false
    complain(error, why)
    letGo()
  }

  function letGo(): void {
    connection?.close()
    connection = undefined
    lost()
    const released = [...(beat?.waiting ?? []), ...waiting]
    beat = undefined
    waiting = []
    for (const resolve of released) resolve()
    tellNews()
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
    tellNews()
  }

  /** Of whichever server notifications come from, unless one is given; by a beat that was sent since then, if it is given. */
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
      // No sooner than it is needed, where timers are late.
      if (!waited) tick()
      waited = true
      await news.promise
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
      // One more beat follows the one that is under way.
      waiting.push(() => {})
      send()
      return doubt(server, now)
    },
    unready: () => doubt(),
    status: () => ({
      held: holds(),
      beatAgeMs: elapsed() - (returnedFrom?.sentAt ?? startedAt),
      ...{ reason, losses, timelineChanges },
    }),
    close() {
      closed = true
      stop()
      letGo()
    },
  }
}
