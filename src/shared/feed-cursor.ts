import { crc32 } from 'node:zlib'

/**
 * A position in the feed. The database counts positions, and after a failover or a restore it may assign some of them
 * again to other events. A cursor therefore identifies the event at its position too.
 */
export type Cursor = { event: string; position: number }

/** The history of the database that the event is in (db/origin.ts), and when the event was committed, identify it. */
export function cursorOf(timeline: string, position: number, at: Date): Cursor {
  const event = crc32(`${timeline}/${at.getTime()}`).toString(16).toUpperCase().padStart(8, '0')
  return { event, position }
}

export function isSame(one: Cursor, other: Cursor): boolean {
  return one.event === other.event && one.position === other.position
}

export const cursorPattern = '^[0-9A-F]{8}\\.[0-9]{1,15}$'
const shape = new RegExp(cursorPattern)

export function formatCursor({ event, position }: Cursor): string {
  return `${event}.${position}`
}

export function parseCursor(text: string): Cursor | undefined {
  if (!shape.test(text)) return undefined
  return { event: text.slice(0, 8), position: Number(text.slice(9)) }
}
