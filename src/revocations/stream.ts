import { Readable } from 'node:stream'
import { type Cursor, formatCursor } from '../shared/feed-cursor.ts'
import type { Revocation } from './store.ts'
import type { Tail } from './tail.ts'

export type StreamOptions = {
  after: Cursor | undefined
  /** Whether the reader may see an event. */
  sees(event: Revocation): boolean
  present(event: Revocation): object
  /** Whether the reader is still authorized; checked at every beat. */
  readmit(): Promise<boolean>
}

/** A reader with more unread data than this is disconnected, and continues from its position when it reconnects. */
const maxUnread = 1024 * 1024

/** The feed as server-sent events (HTML Living Standard §9.2). */
export async function openStream(
  tail: Tail,
  { after, sees, present, readmit }: StreamOptions,
): Promise<Readable> {
  const stream = new Readable({ read: () => {} })
  let over = false

  function end(): void {
    if (!over) stream.push(null)
    over = true
  }

  function send(event: string, id: string, data: object): void {
    if (over) return
    stream.push(`id: ${id}\nevent: ${event}\ndata: ${JSON.stringify(data)}\n\n`)
    if (stream.readableLength <= maxUnread) return
    over = true
    stream.destroy(new Error('the reader of a revocation stream is too slow'))
  }

  const leave = await tail.follow(after, {
    take(events) {
      for (const event of events.filter(sees)) send('revocation', formatCursor(event.cursor), present(event))
    },
    beat(cursor, ageMs) {
      const say = () => send('beat', formatCursor(cursor), { age_ms: Math.floor(ageMs) })
      if (ageMs === 0) return say()
      readmit().then((good) => (good ? say() : end()), end)
    },
    reset(cursor) {
      send('reset', formatCursor(cursor), {})
    },
    end,
  })
  stream.once('close', () => {
    over = true
    leave()
  })
  return stream
}
