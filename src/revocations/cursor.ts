/**
 * A position in the feed. The database counts positions. After a failover or a restore, the new server may assign some
 * of them again to other events; its epoch (db/origin.ts) then differs.
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
