import { createDb } from '../db/database.ts'
import { AppError } from '../shared/errors.ts'
import type { Cursor } from '../shared/feed-cursor.ts'
import type { Interval } from '../shared/interval.ts'
import { type Doubt, readFeed } from './revocations.ts'
import type { Revocation } from './store.ts'

/** Receives revocations as they happen. */
export type Follower = {
  take(events: Revocation[]): void
  /**
   * Everything committed up to `ageMs` after the follower arrived has been delivered; the cursor is the follower's
   * position.
   */
  beat(cursor: Cursor, ageMs: number): void
  /** Earlier events are no longer available: continue from the cursor. */
  reset(cursor: Cursor): void
  /** The tail ended; no more events will come from it. */
  end(): void
}

export type Tail = {
  /**
   * Delivers what follows the cursor, or what happens from now on, until the returned function is called or the tail
   * ends.
   */
  follow(after: Cursor | undefined, follower: Follower): Promise<() => void>
  /** New events may be available. */
  wake(): void
  /** Ends all followers and accepts no more. */
  close(): Promise<void>
}

export type TailOptions = {
  databaseUrl: string
  /** False behind a pooler. */
  prepares?: boolean
  every: Interval
  /** Checked before a beat, which states that everything committed up to then was delivered. */
  doubt?: Doubt
  onError(error: Error): void
  /** A monotonic clock in milliseconds. */
  elapsed?: () => number
  /** The longest time to follow: until then the two clocks have hardly drifted apart. */
  lifetimeMs?: number
}

export const beatMs = 1_000

/** A follower with more events to catch up on than this resets instead. */
const maxAtOnce = 1_000

type Following = { follower: Follower; cursor: Cursor; since: number }

/**
 * The end of the feed, read once for all followers: when woken, and once a second. A beat follows each read and dates
 * from its start, so it guarantees that everything up to then was delivered, whether or not notifications arrive.
 */
export function createTail({
  databaseUrl,
  prepares = true,
  every,
  doubt,
  onError,
  elapsed = () => performance.now(),
  lifetimeMs = 15 * 60_000,
}: TailOptions): Tail {
  // A connection of its own, so that the feed does not wait for requests.
  const db = createDb({ url: databaseUrl, poolSize: 1, prepares, onError })
  const following = new Set<Following>()
  let reading = false
  let wanted = false
  let beatDue = false
  let closing: Promise<void> | undefined

  async function run(): Promise<void> {
    if (reading) return
    reading = true
    try {
      while (wanted && following.size > 0) {
        wanted = false
        await advance()
      }
    } catch (error) {
      onError(error as Error)
      endAll()
    }
    reading = false
  }

  async function advance(): Promise<void> {
    const began = elapsed()
    const vouched = beatDue
    const current = [...following]
    const [first] = current.map((one) => one.cursor).sort((a, b) => a.position - b.position)
    const { events, cursor, more, gone } = await readFeed(db, first, maxAtOnce, vouched ? doubt : undefined)
    if (gone) return endAll()
    for (const one of current) {
      if (!following.has(one)) continue
      const { follower, since } = one
      const newer = events.filter((event) => event.cursor.position > one.cursor.position)
      if (newer.length > 0) follower.take(newer)
      if (cursor.position > one.cursor.position) one.cursor = cursor
      if (vouched && !more) follower.beat(one.cursor, began - since)
      if (began - since >= lifetimeMs) end(one)
    }
    if (more) wanted = true
    else if (vouched) beatDue = false
  }

  function end(one: Following): void {
    if (following.delete(one)) one.follower.end()
  }

  function endAll(): void {
    for (const one of following) end(one)
  }

  function wake(): void {
    wanted = true
    void run()
  }

  function rejectIfClosing(): void {
    if (closing) throw new AppError('unavailable', 'This instance is stopping; connect to another one.')
  }

  const stop = every(beatMs, () => {
    beatDue = true
    wake()
  })

  return {
    async follow(after, follower) {
      const since = elapsed()
      rejectIfClosing()
      const { events, newest, more, gone } = await readFeed(db, after, maxAtOnce, doubt)
      rejectIfClosing()
      const one = { follower, cursor: newest, since }
      if (gone || more) follower.reset(newest)
      else if (events.length > 0) follower.take(events)
      follower.beat(newest, 0)
      following.add(one)
      if (elapsed() - since >= lifetimeMs) end(one)
      return () => void following.delete(one)
    },
    wake,
    close() {
      stop()
      endAll()
      closing ??= db.destroy()
      return closing
    },
  }
}
