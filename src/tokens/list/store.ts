import { type AliasedExpression, type RawBuilder, type SqlBool, sql } from 'kysely'
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
  /** The whole name, in any case. */
  name?: string
  /** The start of the name, in any case. */
  namePrefix?: string
  /** Any part of the name or the comment, in any case. */
  search?: string
  /** Members that the metadata has, with these values. */
  metadata?: Record<string, unknown>
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

/** How many characters of a comment a list shows, so that the size of a page is bounded. */
const listedComment = 10_000

type Page = AliasedExpression<{ organizationId: string; id: string; sortKey: unknown }, 'page'>

export type Listed = Token & { sortValue: string }

/**
 * Returns each token with the value it is sorted by; one row more than `limit` if there are more. The page comes from
 * an index, and everything else is looked up only for its rows.
 */
export async function selectTokens(db: Db, organizationId: string, query: TokenQuery): Promise<Listed[]> {
  const direction = query.descending ? 'desc' : 'asc'
  const page: Page = isFiltering(query)
    ? examined(db, organizationId, query)
        .select(['organizationId', 'id', 'sortKey'])
        .where(isExamined)
        .where((where) => where.and(otherConditions(query)))
        .orderBy('sortKey', direction)
        .orderBy('id', direction)
        .limit(query.limit + 1)
        .as('page')
    : ordered(db, organizationId, query, query.limit + 1).as('page')
  return listedTokens(db)
    .innerJoin(page, (join) =>
      join.onRef('page.organizationId', '=', 'tokens.organizationId').onRef('page.id', '=', 'tokens.id'),
    )
    .select(sql<string>`to_json(page.sort_key) #>> '{}'`.as('sortValue'))
    .orderBy('page.sortKey', direction)
    .orderBy('page.id', direction)
    .execute()
}

export type ListedToken = Token & { isCommentCut: boolean }

/** Tokens as lists show them. */
export function listedTokens(db: Db) {
  return tokensWithoutComment(db).select([
    sql<string | null>`left(tokens.comment, ${listedComment})`.as('comment'),
    sql<boolean>`coalesce(char_length(tokens.comment) > ${listedComment}, false)`.as('isCommentCut'),
  ])
}

/**
 * No index finds text within a name or comment, metadata or secrets that are due, so a page examines limited numbers of
 * tokens and bytes.
 */
const maxExamined = 10_000
const maxBytes = 4 * 1024 * 1024
const isExamined = sql<boolean>`n <= ${maxExamined} and (bytes <= ${maxBytes} or n = 1)`

/**
 * The position at which a page ended that found too few tokens among those that it may examine; undefined if it
 * examined all.
 */
export async function lastExamined(
  db: Db,
  organizationId: string,
  query: TokenQuery,
): Promise<Position | undefined> {
  if (!isFiltering(query)) return undefined
  const last = await examined(db, organizationId, query)
    .select(['id', 'hasNext', sql<string>`to_json(sort_key) #>> '{}'`.as('value')])
    .where(isExamined)
    .orderBy('n', 'desc')
    .limit(1)
    .executeTakeFirst()
  return last?.hasNext ? { value: last.value, id: last.id } : undefined
}

/** Whether there are conditions that no index can answer. */
function isFiltering({ search, metadata, rotationDue }: TokenQuery): boolean {
  return search !== undefined || metadata !== undefined || rotationDue !== undefined
}

/** Numbered in the order of the list, with the size of the comments up to each, which PostgreSQL knows without reading them. */
function examined(db: Db, organizationId: string, query: TokenQuery) {
  const direction = query.descending ? sql`desc` : sql`asc`
  const order = sql`order by sort_key ${direction}, id ${direction}`
  // The tokens of an owner, or of a name, have an index of their own and are few.
  const byUse = query.sort === 'last_used_at' && query.owner === undefined && query.name === undefined
  const rows = byUse
    ? orderedByUse(db, organizationId, query, maxExamined + 1).as('rows')
    : ordered(db, organizationId, query, maxExamined + 1)
        .select(examinedColumns)
        .select(sql<boolean>`true`.as('isListed'))
        .as('rows')
  const numbered = db
    .selectFrom(rows)
    .selectAll()
    .select([
      sql<number>`row_number() over (${order})`.as('n'),
      sql<number>`sum(coalesce(octet_length(comment), 0)) over (${order} rows unbounded preceding)`.as(
        'bytes',
      ),
      sql<boolean>`lead(id) over (${order}) is not null`.as('hasNext'),
    ])
  return db.selectFrom(numbered.as('numbered'))
}

function otherConditions(query: TokenQuery): Condition[] {
  const { search, metadata } = query
  return [
    sql`is_listed`,
    ...rotationConditions(query),
    ...(search === undefined
      ? []
      : [
          sql<SqlBool>`(position(lower(${search}) in lower(name)) > 0 or position(lower(${search}) in lower(comment)) > 0)`,
        ]),
    ...(metadata === undefined ? [] : [sql<SqlBool>`metadata @> ${JSON.stringify(metadata)}::jsonb`]),
  ]
}

/** The first `limit` tokens in the order of the list that meet the conditions of an index, or cheap ones. */
function ordered(db: Db, organizationId: string, query: TokenQuery, limit: number) {
  const { sort, descending, after } = query
  const { key, id, type } = sortKeys[sort]
  const behind = descending ? sql`<` : sql`>`
  const direction = descending ? 'desc' : 'asc'
  return db
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
    .where((where) => where.and([...boundConditions(query), ...tokenConditions(query)]))
    .$if(after !== undefined, (rows) =>
      rows.where(sql<boolean>`(${key}, ${id}) ${behind} (${after?.value}::${type}, ${after?.id}::uuid)`),
    )
    .orderBy(key, direction)
    .orderBy(id, direction)
    .limit(limit)
}

const examinedColumns = [
  'tokens.name',
  'tokens.comment',
  'tokens.metadata',
  'tokens.revokedAt',
  'tokens.expiresAt',
] as const

/**
 * The first `limit` tokens in the order of their last use, and whether they meet the other conditions. The subqueries
 * have limits so that PostgreSQL looks up the tokens of these uses: it might join both tables as a whole otherwise.
 */
function orderedByUse(db: Db, organizationId: string, query: TokenQuery, limit: number) {
  const isUse = (key: RawBuilder<unknown>) => key === lastUsedAt
  const { key, id, type } = sortKeys.last_used_at
  const { after, descending } = query
  const behind = descending ? sql`<` : sql`>`
  const direction = descending ? 'desc' : 'asc'
  const uses = db
    .selectFrom('tokenUses')
    .select(['organizationId', 'tokenId', key.as('sortKey')])
    .where('organizationId', '=', organizationId)
    .where((where) => where.and(boundConditions(query, isUse)))
    .$if(after !== undefined, (rows) =>
      rows.where(sql<boolean>`(${key}, ${id}) ${behind} (${after?.value}::${type}, ${after?.id}::uuid)`),
    )
    .orderBy(key, direction)
    .orderBy(id, direction)
    .limit(limit)
  const conditions = [...boundConditions(query, (key) => !isUse(key)), ...tokenConditions(query)]
  return db
    .selectFrom(uses.as('uses'))
    .innerJoinLateral(
      (outer) =>
        outer
          .selectFrom('tokens')
          .select(examinedColumns)
          .select((where) => where.and(conditions).as('isListed'))
          .whereRef('tokens.organizationId', '=', 'uses.organizationId')
          .whereRef('tokens.id', '=', 'uses.tokenId')
          .limit(1)
          .as('token'),
      (join) => join.onTrue(),
    )
    .selectAll('token')
    .select(['uses.organizationId', 'uses.tokenId as id', 'uses.sortKey'])
}

export type Count = { count: number; more: boolean }

/** Counting stops here, and examines no more tokens than this for each status. */
export const maxCounted = 10_000

/** Tokens of one status, counted along the index in which they are adjacent. */
export async function selectCount(
  db: Db,
  { organizationId, owner, status }: { organizationId: string; owner: string | undefined; status: Status },
  now: Date,
): Promise<Count> {
  const isUnrevoked: Condition = sql`revoked_at is null`
  const isStarted: Condition = sql`(not_before is null or not_before <= ${now})`
  const isUnexpired: Condition = sql`${expiresAt} > ${now}`
  // The range of an index to read, its order, and which of the rows count.
  const ways: Record<Status, [range: Condition, order: RawBuilder<unknown>, counts: Condition]> = {
    active: [sql`${isUnrevoked} and ${isUnexpired}`, expiresAt, isStarted],
    expired: [sql`${isUnrevoked} and ${expiresAt} <= ${now}`, expiresAt, sql`true`],
    revoked: [sql`revoked_at is not null`, createdAt, sql`true`],
    not_yet_valid: [sql`not_before > ${now}`, sql`not_before`, sql`${isUnrevoked} and ${isUnexpired}`],
  }
  const [range, order, counts] = ways[status]
  const rows = db
    .selectFrom('tokens')
    .select(sql<boolean>`${counts}`.as('counts'))
    .where('organizationId', '=', organizationId)
    .where(range)
    .$if(owner !== undefined, (tokens) => tokens.where('ownerSubject', '=', owner as string))
    .orderBy(order)
    .limit(maxCounted + 1)
  const { count, read } = await db
    .selectFrom(rows.as('rows'))
    .select([
      sql<number>`count(*) filter (where counts)::int`.as('count'),
      sql<number>`count(*)::int`.as('read'),
    ])
    .executeTakeFirstOrThrow()
  return { count: Math.min(count, maxCounted), more: read > maxCounted }
}

// Each must be the expression of an index in the migrations.
const createdAt = sql`created_at`
// Names with the same first 200 characters are ordered by id.
const nameStart = sql`left(lower(tokens.name), 200) collate "C"`
const expiresAt = sql`coalesce(expires_at, 'infinity')`
const lastUsedAt = sql`coalesce(token_uses.last_used_at, '-infinity')`

const id = sql`tokens.id`
const sortKeys = {
  created_at: { key: createdAt, id, type: sql`timestamptz` },
  name: { key: nameStart, id, type: sql`text` },
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
 * The bounds of the list. One at the end where the list begins is left out after the first page: the cursor already
 * implies it, and PostgreSQL would otherwise start reading there.
 */
function boundConditions(
  query: TokenQuery,
  isIncluded: (key: RawBuilder<unknown>) => boolean = () => true,
): Condition[] {
  const { after, descending, sort } = query
  const start = descending ? 'upper' : 'lower'
  return boundsOf(query)
    .filter(({ key }) => isIncluded(key))
    .flatMap(({ condition, key, side, instead }) => {
      const passed = after !== undefined && side === start && key === sortKeys[sort].key
      return passed ? (instead ?? []) : condition
    })
}

function tokenConditions(query: TokenQuery): Condition[] {
  const { type, owner, name } = query
  return [
    ...statusConditions(query),
    ...(type === undefined ? [] : [sql<SqlBool>`type = ${type}`]),
    ...(name === undefined ? [] : hasName(name)),
    ...(owner === undefined ? [] : [sql<SqlBool>`owner_subject = ${owner}`]),
  ]
}

/** By the index that has the hashes of names. */
function hasName(name: string): Condition[] {
  const key = sql`lower(normalize(tokens.name))`
  return [
    sql`hashtextextended(${key}, 0) = hashtextextended(lower(${name}), 0)`,
    sql`${key} = lower(${name})`,
  ]
}

function boundsOf({ status, namePrefix, neverUsed, created, expires, lastUsed, now }: TokenQuery): Bound[] {
  return [
    ...within(created, createdAt),
    ...within(expires, expiresAt),
    ...within(lastUsed, lastUsedAt),
    ...(status === undefined || status === 'revoked' ? [] : [expiryBound(status, now)]),
    ...(neverUsed === undefined ? [] : [useBound(neverUsed)]),
    ...(namePrefix === undefined ? [] : startBounds(namePrefix)),
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
    { key: nameStart, side: 'lower', condition: sql`${nameStart} >= left(lower(${start}), 200)` },
    {
      key: nameStart,
      side: 'upper',
      condition: sql`${nameStart} < left(lower(${start}), 200) || ${'\u{10FFFF}'}`,
    },
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

/**
 * Without `every_days` nothing is due: the comparison with null is not true. It is a subquery with a limit and not `exists`,
 * for which PostgreSQL might read the secrets of all organizations.
 */
function rotationConditions({ rotationDue, now }: TokenQuery): Condition[] {
  if (rotationDue === undefined) return []
  const due: Condition = sql`revoked_at is null and coalesce(expires_at, 'infinity') > ${now} and coalesce((
    select true from token_secrets join organizations on organizations.id = token_secrets.organization_id
    where token_secrets.organization_id = numbered.organization_id and token_secrets.token_id = numbered.id
      and superseded_at is null and lapses_at is null and token_secrets.created_at <=
        ${now}::timestamptz - make_interval(days => (policy -> 'rotation' ->> 'every_days')::integer)
    limit 1
  ), false)`
  return [rotationDue ? due : sql`not (${due})`]
}
