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

/** The same for several owners, in an order that prevents deadlocks. */
export async function lockQuotas(tx: Db, organizationId: string, owners: string[]): Promise<void> {
  const scopes = owners.map((owner) => `${organizationId} ${owner}`)
  await sql`
    select pg_advisory_xact_lock(key) from (
      select distinct hashtextextended(scope, 0) as key from unnest(${scopes}::text[]) as scope order by key
    ) as ordered`.execute(tx)
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

/** The same for several owners, by owner. */
export async function countActiveOf(
  db: Db,
  { organizationId, owners }: { organizationId: string; owners: string[] },
  { now, limit }: { now: Date; limit: number },
): Promise<Map<string, number>> {
  const { rows } = await sql<{ owner: string; count: number }>`
    select owner, (
      select count(*)::int from (
        select from tokens
        where organization_id = ${organizationId} and owner_subject = owner and revoked_at is null
          and coalesce(expires_at, 'infinity') > ${now}
        limit ${limit}
      ) as active
    ) as count
    from unnest(${owners}::text[]) as owner`.execute(db)
  return new Map(rows.map(({ owner, count }) => [owner, count]))
}

/** Names, the form in which they are compared, and whether a token has them. */
export async function selectNames(
  db: Db,
  organizationId: string,
  names: string[],
): Promise<Map<string, { key: string; isTaken: boolean }>> {
  const { rows } = await sql<{ name: string; key: string; isTaken: boolean }>`
    select asked.name, asked.key, exists (
      select from tokens
      where organization_id = ${organizationId}
        and hashtextextended(lower(normalize(name)), 0) = hashtextextended(asked.key, 0)
        and lower(normalize(name)) = asked.key
    ) as is_taken
    from (select name, lower(normalize(name)) as key from unnest(${names}::text[]) as name offset 0) as asked`.execute(
    db,
  )
  return new Map(rows.map(({ name, ...rest }) => [name, rest]))
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
