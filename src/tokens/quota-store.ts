import { sql } from 'kysely'
import type { Db } from '../db/database.ts'

/**
 * Until the end of the transaction nobody else takes a place in this organization, or of this owner in it. An
 * advisory lock and not a row's: nothing that reads tokens or changes one waits for it.
 */
export async function lockQuota(tx: Db, organizationId: string, owner?: string): Promise<void> {
  const place = owner === undefined ? organizationId : `${organizationId} ${owner}`
  await sql`select pg_advisory_xact_lock(hashtextextended(${place}, 0))`.execute(tx)
}

/**
 * Counts tokens that are neither revoked nor expired, of one owner or of the whole organization. Stops at `limit`, since
 * others wait for the lock meanwhile.
 */
export async function countActive(
  db: Db,
  organizationId: string,
  now: Date,
  limit: number,
  owner?: string,
): Promise<number> {
  const active = db
    .selectFrom('tokens')
    .select(sql<number>`1`.as('one'))
    .where('organizationId', '=', organizationId)
    .where('revokedAt', 'is', null)
    .where(sql<boolean>`coalesce(expires_at, 'infinity') > ${now}`)
    .$if(owner !== undefined, (query) => query.where('ownerSubject', '=', owner as string))
    // The order of an index, so that expired and revoked tokens are passed over.
    .orderBy(sql`coalesce(expires_at, 'infinity')`)
    .limit(limit)
  const { count } = await db
    .selectFrom(active.as('active'))
    .select(sql<number>`count(*)::int`.as('count'))
    .executeTakeFirstOrThrow()
  return count
}

/** In any case of letters; tokens that are expired or revoked keep their names until they are deleted. */
export async function isNameTaken(
  db: Db,
  organizationId: string,
  name: string,
  except?: string,
): Promise<boolean> {
  const namesake = await db
    .selectFrom('tokens')
    .select('id')
    .where('organizationId', '=', organizationId)
    .where(sql<boolean>`lower(name) = lower(${name})`)
    .$if(except !== undefined, (query) => query.where('id', '<>', except as string))
    .limit(1)
    .executeTakeFirst()
  return namesake !== undefined
}

/** Where the owner of the latest token of this subject came from; undefined if there is none. */
export async function latestOwnerSource(db: Db, organizationId: string, subject: string) {
  const latest = await db
    .selectFrom('tokens')
    .select('ownerSource')
    .where('organizationId', '=', organizationId)
    .where('ownerSubject', '=', subject)
    .orderBy('createdAt', 'desc')
    .orderBy('id', 'desc')
    .limit(1)
    .executeTakeFirst()
  return latest?.ownerSource ?? undefined
}
