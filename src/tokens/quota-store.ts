import { sql } from 'kysely'
import type { Db } from '../db/database.ts'

/**
 * Serializes quota checks in this organization, or for this owner, until the end of the transaction. An advisory lock
 * rather than a row lock, so that reading and changing tokens do not wait for it.
 */
export async function lockQuota(tx: Db, organizationId: string, owner?: string): Promise<void> {
  const scope = owner === undefined ? organizationId : `${organizationId} ${owner}`
  await sql`select pg_advisory_xact_lock(hashtextextended(${scope}, 0))`.execute(tx)
}

/**
 * Counts tokens that are neither revoked nor expired, of one owner or the whole organization. Stops at `limit`, since
 * other transactions wait for the lock.
 */
export async function countActive(
  db: Db,
  { organizationId, owner }: { organizationId: string; owner?: string | undefined },
  { now, limit }: { now: Date; limit: number },
): Promise<number> {
  const active = db
    .selectFrom('tokens')
    .select(sql<number>`1`.as('one'))
    .where('organizationId', '=', organizationId)
    .where('revokedAt', 'is', null)
    .where(sql<boolean>`coalesce(expires_at, 'infinity') > ${now}`)
    .$if(owner !== undefined, (query) => query.where('ownerSubject', '=', owner as string))
    // The order of an index that skips expired and revoked tokens.
    .orderBy(sql`coalesce(expires_at, 'infinity')`)
    .limit(limit)
  const { count } = await db
    .selectFrom(active.as('active'))
    .select(sql<number>`count(*)::int`.as('count'))
    .executeTakeFirstOrThrow()
  return count
}

/** Case-insensitive; expired and revoked tokens keep their names until they are deleted. */
export async function isNameTaken(
  db: Db,
  organizationId: string,
  name: string,
  except?: string,
): Promise<boolean> {
  // The index contains only the hash: the name itself may be too long for an entry.
  const key = sql`lower(normalize(name))`
  const namesake = await db
    .selectFrom('tokens')
    .select('id')
    .where('organizationId', '=', organizationId)
    .where(sql<boolean>`hashtextextended(${key}, 0) = hashtextextended(lower(${name}), 0)`)
    .where(sql<boolean>`${key} = lower(${name})`)
    .$if(except !== undefined, (query) => query.where('id', '<>', except as string))
    .limit(1)
    .executeTakeFirst()
  return namesake !== undefined
}
