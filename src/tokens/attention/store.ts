import { type RawBuilder, type SqlBool, sql } from 'kysely'
import type { Db } from '../../db/database.ts'
import { type ListedToken, listedTokens } from '../list/store.ts'

export const reasons = ['expiring', 'never_used', 'unused', 'rotation_due'] as const
export type Reason = (typeof reasons)[number]

export type Attention = {
  reason: Reason
  /** Undefined: of all organizations. */
  organizationId: string | undefined
  /** The subject of the owner; undefined: of all. */
  owner: string | undefined
  /** The tokens expire within this number of days, or were not used for it. */
  days: number
  now: Date
}

export type Position = { value: string; organization: string; id: string }
export type Due = { position: Position; isDue: boolean }
export type Count = { count: number; more: boolean }

/** The maximum number of tokens that a page or a count examines. */
export const maxExamined = 2_000
export const maxCounted = 10_000

/** Tokens along the index of the reason, from `after` on: at most one more than `maxExamined`. */
export async function selectExamined(db: Db, asked: Attention, after: Position | undefined): Promise<Due[]> {
  const { rows } = await sql<{ organizationId: string; id: string; value: string; isDue: boolean }>`
    select organization_id, id, to_json(value) #>> '{}' as value, is_due
    from (${examined(asked, after, maxExamined + 1)}) as examined
    order by ${asked.reason === 'rotation_due' ? sql`organization_id, examined.value` : sql`examined.value, organization_id`}, id`.execute(
    db,
  )
  return rows.map(({ organizationId: organization, id, value, isDue }) => ({
    position: { value, organization, id },
    isDue,
  }))
}

export async function selectCount(db: Db, asked: Attention): Promise<Count> {
  const { rows } = await sql<{ count: number; read: number }>`
    select count(*) filter (where is_due)::int as count, count(*)::int as read
    from (${examined(asked, undefined, maxCounted + 1)}) as examined`.execute(db)
  const { count = 0, read = 0 } = rows[0] ?? {}
  return { count: Math.min(count, maxCounted), more: read > maxCounted }
}

/** In the order of `positions`; without those that were deleted meanwhile. */
export async function selectByPosition(db: Db, positions: Position[]): Promise<ListedToken[]> {
  if (positions.length === 0) return []
  const organizations = positions.map(({ organization }) => organization)
  const ids = positions.map(({ id }) => id)
  const found = await listedTokens(db)
    .where(
      sql<boolean>`(tokens.organization_id, tokens.id) in (select * from unnest(${organizations}::uuid[], ${ids}::uuid[]))`,
    )
    .execute()
  const byId = new Map(found.map((token) => [token.id, token]))
  return ids.flatMap((id) => byId.get(id) ?? [])
}

/** The limit in the lateral join keeps PostgreSQL from reading the whole table for a hash join. */
function examined(asked: Attention, after: Position | undefined, limit: number): RawBuilder<unknown> {
  const { reason, owner, now } = asked
  const read = reason === 'rotation_due' ? byAgeOfSecret(asked, after, limit) : byTime(asked, after, limit)
  return sql`
    select read.*, tokens.revoked_at is null and coalesce(tokens.expires_at, 'infinity') > ${now}
      and (${owner ?? null}::text is null or tokens.owner_subject = ${owner ?? null}) as is_due
    from (${read}) as read cross join lateral (
      select revoked_at, expires_at, owner_subject from tokens
      where tokens.organization_id = read.organization_id and tokens.id = read.id limit 1
    ) as tokens`
}

/** Along the index that has the tokens side by side, across organizations. */
function byTime(asked: Attention, after: Position | undefined, limit: number): RawBuilder<unknown> {
  const { organizationId } = asked
  const { table, key, id, range } = along(asked)
  const behind = after
    ? sql`and (${key}, organization_id, ${id}) > (${after.value}::timestamptz, ${after.organization}::uuid, ${after.id}::uuid)`
    : sql``
  const within = organizationId === undefined ? sql`` : sql`and organization_id = ${organizationId}`
  return sql`
    select organization_id, ${id} as id, ${key} as value from ${table} where ${range} ${within} ${behind}
    order by ${key}, organization_id, ${id} limit ${limit}`
}

/**
 * One organization after the other, since each says at what age a secret is due. The inner limit bounds how many secrets
 * of an organization are read and sorted.
 */
function byAgeOfSecret(
  { organizationId, now }: Attention,
  after: Position | undefined,
  limit: number,
): RawBuilder<unknown> {
  const within = organizationId === undefined ? sql`` : sql`and organizations.id = ${organizationId}`
  const start = after ? sql`and organizations.id >= ${after.organization}::uuid` : sql``
  const behind = after
    ? sql`and (organization_id, created_at, token_id) >
        (${after.organization}::uuid, ${after.value}::timestamptz, ${after.id}::uuid)`
    : sql``
  return sql`
    select organizations.id as organization_id, secrets.token_id as id, secrets.created_at as value
    from organizations cross join lateral (
      select token_id, created_at from token_secrets
      where organization_id = organizations.id and superseded_at is null and lapses_at is null
        and created_at <= ${now}::timestamptz - make_interval(days => (policy -> 'rotation' ->> 'every_days')::integer) ${behind}
      order by created_at, token_id limit ${limit}
    ) as secrets
    where policy -> 'rotation' ->> 'every_days' is not null ${within} ${start}
    order by organizations.id, secrets.created_at, secrets.token_id limit ${limit}`
}

type Along = {
  table: RawBuilder<unknown>
  key: RawBuilder<unknown>
  id: RawBuilder<unknown>
  range: RawBuilder<SqlBool>
}

function along({ reason, days, now }: Attention): Along {
  const ms = days * 24 * 60 * 60 * 1000
  if (reason === 'expiring') {
    const key = sql`coalesce(expires_at, 'infinity')`
    const until = new Date(now.getTime() + ms)
    const range = sql<SqlBool>`revoked_at is null and ${key} > ${now} and ${key} <= ${until}`
    return { table: sql`tokens`, key, id: sql`id`, range }
  }
  const key = sql`coalesce(last_used_at, '-infinity')`
  const since = new Date(now.getTime() - ms)
  const range =
    reason === 'never_used'
      ? sql<SqlBool>`${key} = '-infinity'`
      : sql<SqlBool>`${key} > '-infinity' and ${key} <= ${since}`
  return { table: sql`token_uses`, key, id: sql`token_id`, range }
}
