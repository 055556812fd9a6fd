import { type RawBuilder, type SqlBool, sql } from 'kysely'
import type { Db } from '../../db/database.ts'
import type { Status } from '../status.ts'
import { type Token, tokens } from '../store.ts'

export const sorts = ['created_at', 'name', 'expires_at', 'last_used_at'] as const
export type Sort = (typeof sorts)[number]

/** From the one instant, included, to the other, excluded; either may be missing. */
export type Range = { from?: Date; to?: Date }

export type TokenFilter = {
  status?: Status
  type?: string
  /** The subject of the owner. */
  owner?: string
  /** The start of the name, in any case. */
  search?: string
  neverUsed?: boolean
  created: Range
  expires: Range
  lastUsed: Range
}

export type TokenQuery = TokenFilter & {
  sort: Sort
  descending: boolean
  /** Only tokens behind this one, in the order of the list. */
  after?: Position
  limit: number
  now: Date
}

/** Where a token stands in a sorted list: the sort key's value as text, then the id. */
export type Position = { value: string; id: string }

export type Listed = Token & { sortValue: string }

/**
 * With each token the value it is sorted by; one row more than `limit` where there are more. The page is cut out of
 * an index, and all else is looked up for the rows of the page and no others.
 */
export async function selectTokens(db: Db, organizationId: string, query: TokenQuery): Promise<Listed[]> {
  const { sort, descending, after, limit } = query
  const { key, id, type } = sortKeys[sort]
  const behind = descending ? sql`<` : sql`>`
  const direction = descending ? 'desc' : 'asc'
  const page = db
    .selectFrom('tokens')
    .$if(readsUses(query), (rows) =>
      rows.innerJoin('tokenUses', (join) =>
        join
          .onRef('tokenUses.organizationId', '=', 'tokens.organizationId')
          .onRef('tokenUses.tokenId', '=', 'tokens.id'),
      ),
    )
    .select(['tokens.organizationId', 'tokens.id', key.as('sortKey')])
    .where('tokens.organizationId', '=', organizationId)
    .where((where) => where.and(conditionsOf(query)))
    .$if(after !== undefined, (rows) =>
      rows.where(sql<boolean>`(${key}, ${id}) ${behind} (${after?.value}::${type}, ${after?.id}::uuid)`),
    )
    .orderBy(key, direction)
    .orderBy(id, direction)
    .limit(limit + 1)
  return tokens(db)
    .innerJoin(page.as('page'), (join) =>
      join.onRef('page.organizationId', '=', 'tokens.organizationId').onRef('page.id', '=', 'tokens.id'),
    )
    .select(sql<string>`to_json(page.sort_key) #>> '{}'`.as('sortValue'))
    .orderBy('page.sortKey', direction)
    .orderBy('page.id', direction)
    .execute()
}

// Each is the expression that an index in the migrations is on.
const createdAt = sql`created_at`
const name = sql`lower(name) collate "C"`
const expiresAt = sql`coalesce(expires_at, 'infinity')`
const lastUsedAt = sql`coalesce(token_uses.last_used_at, '-infinity')`

const id = sql`tokens.id`
const sortKeys = {
  created_at: { key: createdAt, id, type: sql`timestamptz` },
  name: { key: name, id, type: sql`text` },
  expires_at: { key: expiresAt, id, type: sql`timestamptz` },
  last_used_at: { key: lastUsedAt, id: sql`token_uses.token_id`, type: sql`timestamptz` },
}

function readsUses(query: TokenQuery): boolean {
  return [sortKeys[query.sort], ...boundsOf(query)].some(({ key }) => key === lastUsedAt)
}

type Condition = RawBuilder<SqlBool>

/** `key` and `side` say where it ends a range of an index. */
type Bound = { condition: Condition; key: RawBuilder<unknown>; side: 'lower' | 'upper'; instead?: Condition }

/**
 * What the rows of a list have to fulfil. Where a range starts at which the list begins, PostgreSQL would go there to
 * look for a later page too, and from there read on to the page. So it is not told: the cursor is behind that start.
 */
function conditionsOf(query: TokenQuery): Condition[] {
  const { type, owner, after, descending, sort } = query
  const start = descending ? 'upper' : 'lower'
  const bounds = boundsOf(query).flatMap(({ condition, key, side, instead }) => {
    const passed = after !== undefined && side === start && key === sortKeys[sort].key
    return passed ? (instead ?? []) : condition
  })
  return [
    ...bounds,
    ...statusConditions(query),
    ...(type === undefined ? [] : [sql<SqlBool>`type = ${type}`]),
    ...(owner === undefined ? [] : [sql<SqlBool>`owner_subject = ${owner}`]),
  ]
}

function boundsOf({ status, search, neverUsed, created, expires, lastUsed, now }: TokenQuery): Bound[] {
  return [
    ...within(created, createdAt),
    ...within(expires, expiresAt),
    ...within(lastUsed, lastUsedAt),
    ...(status === undefined || status === 'revoked' ? [] : [expiryBound(status, now)]),
    ...(neverUsed === undefined ? [] : [useBound(neverUsed)]),
    ...(search === undefined ? [] : startBounds(search)),
  ]
}

/** What never happens stands at an infinity, and is in no range. */
function within({ from, to }: Range, key: RawBuilder<unknown>): Bound[] {
  if (from === undefined && to === undefined) return []
  const lower: Condition = from === undefined ? sql`${key} > '-infinity'` : sql`${key} >= ${from}`
  const upper: Condition = to === undefined ? sql`${key} < 'infinity'` : sql`${key} < ${to}`
  return [
    { key, side: 'lower', condition: lower },
    { key, side: 'upper', condition: upper },
  ]
}

function expiryBound(status: Status, now: Date): Bound {
  const key = expiresAt
  if (status === 'expired') return { key, side: 'upper', condition: sql`${key} <= ${now}` }
  // What was yet to expire when the cursor was made may have done so since.
  const instead: Condition = sql`(expires_at is null or expires_at > ${now})`
  return { key, side: 'lower', condition: sql`${key} > ${now}`, instead }
}

function useBound(never: boolean): Bound {
  const key = lastUsedAt
  if (never) return { key, side: 'upper', condition: sql`${key} <= '-infinity'` }
  return { key, side: 'lower', condition: sql`${key} > '-infinity'` }
}

/** In the order of bytes whatever starts with a text stands between it and it with the last of all characters behind. */
function startBounds(start: string): Bound[] {
  return [
    { key: name, side: 'lower', condition: sql`${name} >= lower(${start})` },
    { key: name, side: 'upper', condition: sql`${name} < lower(${start}) || ${'\u{10FFFF}'}` },
  ]
}

/** With `expiryBound` the SQL side of `statusOf`. */
function statusConditions({ status, now }: TokenQuery): Condition[] {
  if (status === undefined) return []
  if (status === 'revoked') return [sql`revoked_at is not null`]
  const unrevoked: Condition = sql`revoked_at is null`
  if (status === 'expired') return [unrevoked]
  if (status === 'not_yet_valid') return [unrevoked, sql`not_before > ${now}`]
  return [unrevoked, sql`(not_before is null or not_before <= ${now})`]
}
