/**
 * A place in the feed. Positions are counted by the database. When another server takes its place, after a failover
 * or from a backup, it may count some of them again, for other events. The epoch (db/origin.ts) is then another one.
 */
export type Cursor = { epoch: string; position: number }

export const cursorPattern = '^[0-9A-F]{8}\\.[0-9]{1,15}$'
const shape = new RegExp(cursorPattern)

export function formatCursor({ epoch, position }: Cursor): string {
  return `${epoch}.${position}`
}

export function parseCursor(text: string): Cursor | undefined {
  if (!shape.test(text)) return undefined
  return { epoch: text.slice(0, 8), position: Number(text.slice(9)) }
}
