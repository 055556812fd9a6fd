import { sql } from 'kysely'
import type { Db } from '../db/database.ts'

/** More tokens than this are not counted. */
export const mostCounted = 10_000

/** How many tokens that are not revoked expire within these numbers of days; one scan of the index by expiry. */
export async function countExpiring(db: Db, now: Date, days: readonly number[]): Promise<number[]> {
  const until = (count: number) => new Date(now.getTime() + count * 24 * 60 * 60 * 1000)
  const expiry = sql<Date>`coalesce(expires_at, 'infinity')`
  const soonest = db
    .selectFrom('tokens')
    .select(expiry.as('at'))
    .where('revokedAt', 'is', null)
    .where(expiry, '>', now)
    .where(expiry, '<=', until(Math.max(...days)))
    .orderBy(expiry)
    .limit(mostCounted)
  const counts = days.map((count, index) =>
    sql<number>`(count(*) filter (where at <= ${until(count)}::timestamptz))::int`.as(`within${index}`),
  )
  const row = await db.selectFrom(soonest.as('soonest')).select(counts).executeTakeFirstOrThrow()
  return days.map((_, index) => row[`within${index}`] ?? 0)
}
