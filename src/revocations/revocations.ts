import { type Caller, reaches, requirePermission } from '../access/caller.ts'
import { sees as seesToken } from '../access/narrowing.ts'
import { batchSize, inBatches } from '../db/batches.ts'
import type { Db } from '../db/database.ts'
import { AppError } from '../shared/errors.ts'
import { type Cursor, isSame } from '../shared/feed-cursor.ts'
import { deleteRevocations, type Revocation, selectKept, selectRevocations } from './store.ts'

export type Page = {
  events: Revocation[]
  /** Where to continue: after the last event, or at the end of the feed. */
  cursor: Cursor
  /** More events are available. */
  more: boolean
}

type Reading = Page & {
  /** The end of the feed. */
  newest: Cursor
  /** Events after the cursor have been deleted, or it is from a history of the database that was undone. */
  gone: boolean
}

const keptMs = 24 * 60 * 60 * 1000

/**
 * The events after a cursor that the caller may see. Without a cursor there are none, and the result's cursor is the
 * end of the feed.
 */
export async function listRevocations(
  db: Db,
  caller: Caller,
  { after, limit, doubt }: { after: Cursor | undefined; limit: number; doubt: Doubt },
): Promise<Page> {
  requirePermission(caller, 'tokens:introspect')
  const page = await readFeed(db, after, limit, doubt)
  if (!page.gone) return { ...page, events: page.events.filter((event) => sees(caller, event)) }
  throw new AppError(
    'cursor_gone',
    'Events after this cursor are no longer available: drop every cached answer.',
  )
}

/** Why the events read from a server cannot be trusted, if so: a standby may lack the newest ones. */
export type Doubt = (server: string | null) => Promise<string | undefined>

/** The same for readers who may see everything. */
export async function readFeed(
  db: Db,
  after: Cursor | undefined,
  limit: number,
  doubt: Doubt = async () => undefined,
): Promise<Reading> {
  const { server, newest, events, ...found } = await selectRevocations(db, after?.position, limit + 1)
  const reason = await doubt(server)
  if (newest === null || reason !== undefined)
    throw new AppError('unavailable', reason ?? 'The database server is in recovery.')
  if (after && !(found.after && isSame(after, found.after)))
    return { events: [], cursor: newest, more: false, newest, gone: true }
  const shown = events.slice(0, limit)
  const last = shown.at(-1)
  const more = events.length > limit && last !== undefined
  const cursor = more ? last.cursor : newest
  return { events: shown, cursor, more, newest, gone: false }
}

/** Whether the caller may see an event; suspensions of types are visible to all. */
export function sees({ principal }: Caller, event: Revocation): boolean {
  const { organizationId, organizationKey, type, audience, tokenId } = event
  if (organizationId === null || organizationKey === null) return true
  const { organizations, types } = principal.narrowedTo ?? {}
  // An event about many tokens of an organization is visible to everyone who sees any of them.
  if (type === null || tokenId === null) {
    const isWithinTypes = type === null || (types?.includes(type) ?? true)
    return (
      reaches(principal, organizationId) &&
      (organizations?.includes(organizationKey) ?? true) &&
      isWithinTypes
    )
  }
  return seesToken(principal, { organizationId, organizationKey, type, audience: audience ?? [] })
}

/** The index of the last of these events of another database's feed that is also in this one's; -1 if none is. */
export async function findLastKept(db: Db, events: { position: number; at: Date }[]): Promise<number> {
  for (let end = events.length; end > 0; end -= batchSize) {
    const start = Math.max(0, end - batchSize)
    const batch = events.slice(start, end)
    const kept = new Set((await selectKept(db, batch)).map(({ position }) => Number(position)))
    const found = batch.findLastIndex(({ position }) => kept.has(position))
    if (found !== -1) return start + found
  }
  return -1
}

/** Deletes old events in batches; readers that are further behind have to start again. */
export async function deleteOldRevocations(db: Db, now: Date): Promise<void> {
  const before = new Date(now.getTime() - keptMs)
  await inBatches(() => deleteRevocations(db, before, batchSize))
}
