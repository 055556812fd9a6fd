import { statusOf } from '../../shared/status.ts'
import type { Token } from '../store.ts'
import type { Position, Range, Sort, TokenQuery } from './store.ts'

type Placed = { sortValue: string; id: string }

/**
 * Inserts an entry that is in no table into a page of a list (which has one row more than `limit` if there are more).
 * Order and filters work as in the database. A page that examined tokens only up to `end` has no entries behind it.
 */
export function mergeEntry<Row extends Placed>(
  rows: Row[],
  entry: Row,
  query: Omit<TokenQuery, 'now'>,
  end: Position | undefined,
): Row[] {
  const { sort, descending, after, limit } = query
  const isBehind = (one: Placed, other: Placed) => compare(sort, one, other) * (descending ? -1 : 1) > 0
  if (after && !isBehind(entry, { sortValue: after.value, id: after.id })) return rows
  if (end && isBehind(entry, { sortValue: end.value, id: end.id })) return rows
  const index = rows.findIndex((row) => isBehind(row, entry))
  if (index >= 0) return rows.toSpliced(index, 0, entry)
  return rows.length > limit ? rows : [...rows, entry]
}

export function fits(token: Token, query: TokenQuery): boolean {
  const {
    status,
    type,
    owner,
    name,
    namePrefix,
    search,
    metadata,
    neverUsed,
    rotationDue,
    created,
    expires,
    lastUsed,
    now,
  } = query
  return (
    (status === undefined || status === statusOf(token, now)) &&
    (type === undefined || type === token.type) &&
    (owner === undefined || owner === token.ownerSubject) &&
    (name === undefined || token.name.toLowerCase() === name.toLowerCase()) &&
    (namePrefix === undefined || token.name.toLowerCase().startsWith(namePrefix.toLowerCase())) &&
    (search === undefined || hasText(token, search.toLowerCase())) &&
    (metadata === undefined || Object.keys(metadata).length === 0) &&
    (neverUsed === undefined || neverUsed === (token.lastUsedAt === null)) &&
    // It is changed in Counterfoil's configuration, so no rotation is due.
    rotationDue !== true &&
    isWithin(created, token.createdAt) &&
    isWithin(expires, token.expiresAt) &&
    isWithin(lastUsed, token.lastUsedAt)
  )
}

export function sortValueOf(sort: Sort, { createdAt, name, expiresAt, lastUsedAt }: Token): string {
  if (sort === 'name') return name.toLowerCase().slice(0, 200)
  if (sort === 'created_at') return createdAt.toISOString()
  if (sort === 'expires_at') return expiresAt?.toISOString() ?? 'infinity'
  return lastUsedAt?.toISOString() ?? '-infinity'
}

function hasText({ name, comment }: Token, text: string): boolean {
  return name.toLowerCase().includes(text) || (comment?.toLowerCase().includes(text) ?? false)
}

function isWithin({ from, to }: Range, instant: Date | null): boolean {
  if (from === undefined && to === undefined) return true
  return instant !== null && (from === undefined || instant >= from) && (to === undefined || instant < to)
}

function compare(sort: Sort, one: Placed, other: Placed): number {
  const byValue =
    sort === 'name'
      ? Buffer.compare(Buffer.from(one.sortValue), Buffer.from(other.sortValue))
      : Math.sign(instantOf(one.sortValue) - instantOf(other.sortValue) || 0)
  return byValue || (one.id < other.id ? -1 : Number(one.id > other.id))
}

function instantOf(text: string): number {
  if (text === 'infinity') return Number.POSITIVE_INFINITY
  return text === '-infinity' ? Number.NEGATIVE_INFINITY : Date.parse(text)
}
