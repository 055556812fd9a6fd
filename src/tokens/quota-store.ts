import { type RawBuilder, sql } from 'kysely'
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

/** How many active tokens an organization has, when they were last counted, and how many changes there were since. */
export type ActiveCount = { active: number /** Null: never. */; countedAt: Date | null; changes: number }

const expiresAt = sql`coalesce(expires_at, 'infinity')`

/**
 * An expression for the number of active tokens: the last count in `active_counts`, with the changes since. The tokens that
 * have expired since are adjacent in the index. The clocks of instances differ, so the last count may also be ahead.
 */
function activeTokens(
  organizationId: string,
  now: Date,
  { changes, limit }: { changes: RawBuilder<unknown>; limit?: number },
): RawBuilder<number> {
  const unrevoked = sql`from tokens where organization_id = ${organizationId} and revoked_at is null`
  return sql`
    case when counted_at is null then (
      select count(*) from (
        select ${unrevoked} and ${expiresAt} > ${now} order by ${expiresAt} limit ${limit ?? null}::int
      ) as active
    ) else active + (select coalesce(sum(change), 0) from ${changes} where expires_at > counted_at)
      - (select count(*) ${unrevoked} and ${expiresAt} > counted_at and ${expiresAt} <= ${now})
      + (select count(*) ${unrevoked} and ${expiresAt} > ${now} and ${expiresAt} <= counted_at)
    end`
}

/** Counts tokens that are neither revoked nor expired. If they have never been counted, this stops at `limit`. */
export async function countActive(
  db: Db,
  organizationId: string,
  { now, limit }: { now: Date; limit: number },
): Promise<ActiveCount> {
  const changes = sql`(
    select change, expires_at from active_count_changes where organization_id = ${organizationId}
  ) as changes`
  const { rows } = await sql<ActiveCount>`
    select counted_at, (${activeTokens(organizationId, now, { changes, limit })})::int as active,
      (select count(*)::int from ${changes}) as changes
    from (select) as asked left join active_counts on organization_id = ${organizationId}`.execute(db)
  return rows[0] ?? { active: 0, countedAt: null, changes: 0 }
}

/** Keeps the count, so that the next one has little to add. The transaction must hold `lockQuota`. */
export async function keepActiveCount(tx: Db, organizationId: string, now: Date): Promise<void> {
  await sql`
    with gone as (
      delete from active_count_changes where organization_id = ${organizationId} returning change, expires_at
    )
    insert into active_counts (organization_id, counted_at, active)
    select id, ${now}::timestamptz, ${activeTokens(organizationId, now, { changes: sql`gone` })}
    from organizations left join active_counts on organization_id = id where id = ${organizationId}
    on conflict (organization_id) do update set counted_at = excluded.counted_at, active = excluded.active`.execute(
    tx,
  )
}

/** The organizations whose active tokens have changed since the count that is kept; some may be deleted. */
export async function organizationsWithChanges(db: Db): Promise<string[]> {
  const { rows } = await sql<{ id: string }>`
    select distinct organization_id as id from active_count_changes`.execute(db)
  return rows.map(({ id }) => id)
}

/**
 * Counts the active tokens of each of these owners. Stops at `limit`, since other transactions wait for the lock. The order is
 * that of an index that skips expired and revoked tokens.
 */
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
