import { type Caller, reaches, requirePermission } from '../access/caller.ts'
import { sees as seesToken } from '../access/narrowing.ts'
import { batchSize, inBatches } from '../db/batches.ts'
import type { Db } from '../db/database.ts'
import { AppError } from '../errors.ts'
import type { Cursor } from './cursor.ts'
import { deleteRevocations, type Revocation, selectRevocations } from './store.ts'

export type Page = {
  events: Revocation[]
  /** Where to go on: behind the last event, or where the feed stands. */
  cursor: Cursor
  /** There are more events already. */
  more: boolean
}

type Reading = Page & {
  /** Where the feed stands. */
  newest: Cursor
  /** What followed the cursor is not known any more. */
  gone: boolean
}

const keptMs = 24 * 60 * 60 * 1000

/** The events behind a cursor that the caller may see; without one there are none, and the cursor is where the feed stands. */
export async function listRevocations(
  db: Db,
  caller: Caller,
  { after, limit, doubt }: { after: Cursor | undefined; limit: number; doubt: Doubt },
): Promise<Page> {
  requirePermission(caller, 'tokens:introspect')
  const page = await readFeed(db, after, limit, doubt)
  if (!page.gone) return { ...page, events: page.events.filter((event) => sees(caller, event)) }
  throw new AppError('cursor_gone', 'What followed this cursor is not known any more: forget every answer.')
}

/** Why what was read on a server is not to be believed, if it is not: a standby does not know the newest. */
export type Doubt = (server: string | null) => Promise<string | undefined>

/** The same for those who may see all. */
export async function readFeed(
  db: Db,
  after: Cursor | undefined,
  limit: number,
  doubt: Doubt = async () => undefined,
): Promise<Reading> {
  const { server, epoch, oldest, events, ...feed } = await selectRevocations(db, after?.position, limit + 1)
  const reason = await doubt(server)
  if (epoch === null || reason !== undefined)
    throw new AppError('unavailable', reason ?? 'The database server is in recovery.')
  const newest = { epoch, position: feed.newest }
  if (after && (after.epoch !== epoch || after.position < oldest || after.position > newest.position))
    return { events: [], cursor: newest, more: false, newest, gone: true }
  const shown = events.slice(0, limit)
  const last = shown.at(-1)
  const more = events.length > limit && last !== undefined
  const cursor = more ? { epoch, position: last.position } : newest
  return { events: shown, cursor, more, newest, gone: false }
}

/** Whether an event is the caller's business: types are everybody's. */
export function sees({ principal }: Caller, event: Revocation): boolean {
  const { organizationId, organizationKey, type, audience } = event
  if (organizationId === null || organizationKey === null) return true
  // An organization as a whole is the business of who sees any token of it.
  if (type === null) {
    const { organizations } = principal.narrowedTo ?? {}
    return reaches(principal, organizationId) && (organizations?.includes(organizationKey) ?? true)
  }
  return seesToken(principal, { organizationId, organizationKey, type, audience: audience ?? [] })
}

/** Deletes old entries, a batch at a time; a reader that has not read them by now starts anew. */
export async function forgetRevocations(db: Db, now: Date): Promise<void> {
  const before = new Date(now.getTime() - keptMs)
  await inBatches(() => deleteRevocations(db, before, batchSize))
}
