import { sql } from 'kysely'
import type { Db } from '../db/database.ts'

/**
 * Serializes quota checks in this organization until the end of the transaction. An advisory lock rather than a row
 * lock, so that reading and changing tokens do not wait for it.
 */
export async function lockQuota(tx: Db, organizationId: string): Promise<void> {
  await sql`select pg_advisory_xact_lock(hashtextextended(${organizationId}, 0))`.execute(tx)
}

/** The same for these owners only, in an order that prevents deadlocks. */
export async function lockQuotasOf(tx: Db, organizationId: string, owners: string[]): Promise<void> {
  const scopes = owners.map((owner) => `${organizationId} ${owner}`)
  await sql`
    select pg_advisory_xact_lock(key) from (
      select distinct hashtextextended(scope, 0) as key from unnest(${scopes}::text[]) as scope order by key
    ) as ordered`.execute(tx)
}

/**
 * Counts tokens that are neither revoked nor expired. Stops at `limit`, since other transactions wait for the lock. The
 * order is that of an index that skips expired and revoked tokens.
 */
export async function countActive(
  db: Db,
  organizationId: string,
  { now, limit }: { now: Date; limit: number },
): Promise<number> {
  const { rows } = await sql<{ count: number }>`
    select count(*)::int from (
      select from tokens
      where organization_id = ${organizationId} and revoked_at is null
        and coalesce(expires_at, 'infinity') > ${now}
      order by coalesce(expires_at, 'infinity')
      limit ${limit}
    ) as active`.execute(db)
  return rows[0]?.count ?? 0
}

/** The same for each of these owners. */
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
        order by coalesce(expires_at, 'infinity')
        limit ${limit}
      ) as active
    ) as count
    from unnest(${owners}::text[]) as owner`.execute(db)
  return new Map(rows.map(({ owner, count }) => [owner, count]))
}

/**
 * These names, the form in which they are compared, which ignores case, and whether another token than `except` has
 * them. Expired and revoked tokens keep their names until they are deleted. The index contains only the hash: the name
 * itself may be too long for an entry.
 */
export async function selectNames(
  db: Db,
  { organizationId, except }: { organizationId: string; except?: string | undefined },
  names: string[],
): Promise<Map<string, { key: string; isTaken: boolean }>> {
  const { rows } = await sql<{ name: string; key: string; isTaken: boolean }>`
    select asked.name, asked.key, exists (
      select from tokens
      where organization_id = ${organizationId} and id is distinct from ${except ?? null}::uuid
        and hashtextextended(lower(normalize(name)), 0) = hashtextextended(asked.key, 0)
        and lower(normalize(name)) = asked.key
    ) as is_taken
    from (select name, lower(normalize(name)) as key from unnest(${names}::text[]) as name offset 0) as asked`.execute(
    db,
  )
  return new Map(rows.map(({ name, ...rest }) => [name, rest]))
}
