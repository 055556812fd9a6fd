import { type AliasedExpression, type RawBuilder, sql } from 'kysely'
import type { Db } from '../../db/database.ts'
import type { Status } from '../../shared/status.ts'
import { type Token, tokensWithoutComment } from '../store.ts'
import {
  type AccessPath,
  all,
  type Condition,
  createdAt,
  examinedTokens,
  expiresAt,
  maxExamined,
  otherConditions,
  type Position,
  type TokenQuery,
} from './access-path-store.ts'

/** How many characters of a comment a list shows, so that the size of a page is bounded. */
const listedComment = 10_000

export type Listed = Token & { sortValue: string }

/** One row more than the limit of the query if there are more. */
export type TokenRows = {
  rows: Listed[]
  /** Where to continue, if the page reached the limit on examined tokens before it was full. */
  resume: Position | undefined
}

type PageRow = { organizationId: string; id: string; sortKey: unknown; isListed: boolean; isLast: boolean }

/** Columns that do not determine the page are looked up only for its rows. */
export async function selectTokens(
  db: Db,
  organizationId: string,
  query: TokenQuery,
  accessPath: AccessPath,
): Promise<TokenRows> {
  const { limit } = query
  const direction = query.descending ? 'desc' : 'asc'
  const page: AliasedExpression<PageRow, 'page'> = sql<PageRow>`(
    select organization_id, id, sort_key, is_listed, is_last from (${examined(organizationId, query, accessPath)}) as examined
    where is_listed or is_last
    order by sort_key ${sql.raw(direction)}, id ${sql.raw(direction)} limit ${limit + 1}
  )`.as('page')
  const found = await listedTokens(db)
    .innerJoin(page, (join) =>
      join.onRef('page.organizationId', '=', 'tokens.organizationId').onRef('page.id', '=', 'tokens.id'),
    )
    .select(['page.isListed', 'page.isLast', sql<string>`to_json(page.sort_key) #>> '{}'`.as('sortValue')])
    .orderBy('page.sortKey', direction)
    .orderBy('page.id', direction)
    .execute()
  const rows = found.filter(({ isListed }) => isListed)
  const last = rows.length > limit ? undefined : found.find(({ isLast }) => isLast)
  return { rows, resume: last && { value: last.sortValue, id: last.id } }
}

export type ListedToken = Token & { isCommentCut: boolean }

/** Tokens as lists show them. */
export function listedTokens(db: Db) {
  return tokensWithoutComment(db).select([
    sql<string | null>`left(tokens.comment, ${listedComment})`.as('comment'),
    sql<boolean>`coalesce(char_length(tokens.comment) > ${listedComment}, false)`.as('isCommentCut'),
  ])
}

/** The most bytes of comments that a page of a search reads. */
const maxBytes = 4 * 1024 * 1024

/**
 * Tokens in the order of the list, whether they are listed, and whether one is the last that the page may examine although
 * others follow. The sizes of comments are known to PostgreSQL without reading them.
 */
function examined(organizationId: string, query: TokenQuery, accessPath: AccessPath): RawBuilder<unknown> {
  const conditions = otherConditions(organizationId, query, accessPath)
  const isListed = all(conditions)
  const tokens = (limit: number) => examinedTokens(organizationId, query, accessPath, limit)
  const reads = query.search !== undefined
  if (!reads && (!accessPath.inOrder || conditions.length === 0)) {
    const rows = tokens(accessPath.inOrder ? query.limit + 1 : maxExamined)
    return sql`select *, ${isListed} as is_listed, false as is_last from (${rows}) as tokens`
  }
  const direction = query.descending ? sql`desc` : sql`asc`
  const order = sql`order by sort_key ${direction}, id ${direction}`
  const size = reads ? sql`coalesce(octet_length(comment), 0)` : sql`0`
  return sql`
    select *, ${isListed} as is_listed, n = ${maxExamined} and next_size is not null or bytes + next_size > ${maxBytes} as is_last
    from (
      select *, row_number() over (${order}) as n, sum(${size}) over (${order} rows unbounded preceding) as bytes,
        lead(${size}) over (${order}) as next_size
      from (${tokens(maxExamined + 1)}) as read
    ) as tokens
    where n <= ${maxExamined} and (bytes <= ${maxBytes} or n = 1)`
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
