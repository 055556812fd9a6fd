import { createDb } from '../db/database.ts'
import { AppError } from '../errors.ts'
import type { Interval } from '../interval.ts'
import type { Cursor } from './cursor.ts'
import { type Doubt, readFeed } from './revocations.ts'
import type { Revocation } from './store.ts'

/** Whoever is told of revocations as they happen. */
export type Follower = {
  take(events: Revocation[]): void
  /** All that was committed up to `ageMs` after the follower came has been taken; it stands at the cursor. */
  beat(cursor: Cursor, ageMs: number): void
  /** What happened before is not known: go on from the cursor. */
  reset(cursor: Cursor): void
  /** Nothing more comes from here. */
  end(): void
}

export type Tail = {
  /** Tells of what comes behind the cursor, or from now on, until what it returns is called or the tail ends it. */
  follow(after: Cursor | undefined, follower: Follower): Promise<() => void>
  /** There may be something new. */
  wake(): void
  /** Ends all followers, and takes no more. */
  close(): Promise<void>
}

export type TailOptions = {
  databaseUrl: string
  /** False behind a pooler. */
  prepares?: boolean
  every: Interval
  /** Asked before a beat, which vouches for all that was committed up to then. */
  doubt?: Doubt
  onError(error: Error): void
  /** Milliseconds that only ever go forward. */
  elapsed?: () => number
  /** How long one may follow: by then its clock and ours have hardly gone apart. */
  lifetimeMs?: number
}

export const beatMs = 1_000

/** Who is further behind forgets all that it knows rather than hearing of so much one by one. */
const mostAtOnce = 1_000

type Following = { follower: Follower; cursor: Cursor; since: number }

/**
 * The end of the feed, read once for all who follow it: when somebody says that there may be something new, and once
 * a second. A beat follows a reading and dates from when that began, so it says of itself that everything up to then
 * has been told, whether notifications arrive or not.
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
  // A connection of its own: the feed does not wait for requests.
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
    const told = [...following]
    const [first] = told.map((one) => one.cursor).sort((a, b) => a.position - b.position)
    const { events, cursor, more, gone } = await readFeed(db, first, mostAtOnce, vouched ? doubt : undefined)
    if (gone) return endAll()
    for (const one of told) {
      if (!following.has(one)) continue
      const { follower, since } = one
      const news = events.filter(({ position }) => position > one.cursor.position)
      if (news.length > 0) follower.take(news)
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

  const stop = every(beatMs, () => {
    beatDue = true
    wake()
  })

  return {
    async follow(after, follower) {
      const since = elapsed()
      const { events, newest, more, gone } = await readFeed(db, after, mostAtOnce, doubt)
      if (closing) throw new AppError('unavailable', 'This instance is stopping. Ask another one.')
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
