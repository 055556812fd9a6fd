import { type RawBuilder, type SqlBool, sql } from 'kysely'
import type { Db } from '../../db/database.ts'
import type { Status } from '../../shared/status.ts'
import { type Token, tokensWithoutComment } from '../store.ts'

export const sorts = ['created_at', 'name', 'expires_at', 'last_used_at'] as const
export type Sort = (typeof sorts)[number]

/** From the first instant, inclusive, to the second, exclusive; either may be missing. */
export type Range = { from?: Date; to?: Date }

export type TokenFilter = {
  status?: Status
  type?: string
  /** The subject of the owner. */
  owner?: string
  /** The start of the name, in any case. */
  search?: string
  neverUsed?: boolean
  rotationDue?: boolean
  created: Range
  expires: Range
  lastUsed: Range
}

export type TokenQuery = TokenFilter & {
  sort: Sort
  descending: boolean
  /** Only tokens after this position, in the order of the list. */
  after?: Position
  limit: number
  now: Date
}

/** A token's position in a sorted list: the value of the sort key as text, then the id. */
export type Position = { value: string; id: string }

/** How many characters of a comment a list shows, so that a page has bounds. */
const listedComment = 10_000

export type Listed = Token & { sortValue: string }

/**
 * Returns each token with the value it is sorted by; one row more than `limit` if there are more. The page comes from
 * an index, and everything else is looked up only for its rows.
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
  return tokensWithoutComment(db)
    .innerJoin(page.as('page'), (join) =>
      join.onRef('page.organizationId', '=', 'tokens.organizationId').onRef('page.id', '=', 'tokens.id'),
    )
    .select([
      sql<string | null>`left(tokens.comment, ${listedComment})`.as('comment'),
      sql<boolean>`coalesce(char_length(tokens.comment) > ${listedComment}, false)`.as('isCommentCut'),
    ])
    .select(sql<string>`to_json(page.sort_key) #>> '{}'`.as('sortValue'))
    .orderBy('page.sortKey', direction)
    .orderBy('page.id', direction)
    .execute()
}

// Each must be the expression of an index in the migrations.
const createdAt = sql`created_at`
// Names that are the same in their first 200 characters are in the order of their ids.
const name = sql`left(lower(name), 200) collate "C"`
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

/** `key` and `side` name the index and the end of its range that the condition bounds. */
type Bound = { condition: Condition; key: RawBuilder<unknown>; side: 'lower' | 'upper'; instead?: Condition }

/**
 * The conditions for rows of the list. A bound at the end where the list begins is left out after the first page: the
 * cursor already implies it, and PostgreSQL would otherwise start reading there.
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
    ...rotationConditions(query),
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

/** An event that never happens is at infinity, outside every range. */
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
  // Tokens that had yet to expire when the cursor was created may have expired since.
  const instead: Condition = sql`(expires_at is null or expires_at > ${now})`
  return { key, side: 'lower', condition: sql`${key} > ${now}`, instead }
}

function useBound(never: boolean): Bound {
  const key = lastUsedAt
  if (never) return { key, side: 'upper', condition: sql`${key} <= '-infinity'` }
  return { key, side: 'lower', condition: sql`${key} > '-infinity'` }
}

/**
 * In byte order, everything that starts with a text lies between the text and the text followed by the last character.
 */
function startBounds(start: string): Bound[] {
  return [
    { key: name, side: 'lower', condition: sql`${name} >= left(lower(${start}), 200)` },
    { key: name, side: 'upper', condition: sql`${name} < left(lower(${start}), 200) || ${'\u{10FFFF}'}` },
  ]
}

/** Together with `expiryBound`, the SQL counterpart of `statusOf`. */
function statusConditions({ status, now }: TokenQuery): Condition[] {
  if (status === undefined) return []
  if (status === 'revoked') return [sql`revoked_at is not null`]
  const unrevoked: Condition = sql`revoked_at is null`
  if (status === 'expired') return [unrevoked]
  if (status === 'not_yet_valid') return [unrevoked, sql`not_before > ${now}`]
  return [unrevoked, sql`(not_before is null or not_before <= ${now})`]
}

/** Without `every_days` nothing is due: the comparison with null is not true. */
function rotationConditions({ rotationDue, now }: TokenQuery): Condition[] {
  if (rotationDue === undefined) return []
  const due: Condition = sql`revoked_at is null and coalesce(expires_at, 'infinity') > ${now} and exists (
    select from token_secrets join organizations on organizations.id = token_secrets.organization_id
    where token_secrets.organization_id = tokens.organization_id and token_secrets.token_id = tokens.id
      and superseded_at is null and lapses_at is null and token_secrets.created_at <=
        ${now}::timestamptz - make_interval(days => (policy -> 'rotation' ->> 'every_days')::integer)
  )`
  return [rotationDue ? due : sql`not (${due})`]
}
