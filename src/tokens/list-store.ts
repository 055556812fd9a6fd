import { sql } from 'kysely'
import type { Db } from '../db/database.ts'
import { conditionsOf, sortKeys, type TokenQuery } from './list-conditions.ts'
import { type Token, tokens } from './store.ts'

export type Listed = Token & { sortValue: string }

/**
 * With each token the value it is sorted by; one row more than `limit` where there are more. The page is cut out of
 * an index on tokens alone, and all else is looked up for the rows of the page and no others.
 */
export async function selectTokens(db: Db, organizationId: string, query: TokenQuery): Promise<Listed[]> {
  const { sort, descending, after, limit } = query
  const { key, type } = sortKeys[sort]
  const behind = descending ? sql`<` : sql`>`
  const direction = descending ? 'desc' : 'asc'
  const page = db
    .selectFrom('tokens')
    .select(['organizationId', 'id', key.as('sortKey')])
    .where('organizationId', '=', organizationId)
    .where((where) => where.and(conditionsOf(query)))
    .$if(after !== undefined, (rows) =>
      rows.where(sql<boolean>`(${key}, id) ${behind} (${after?.value}::${type}, ${after?.id}::uuid)`),
    )
    .orderBy(key, direction)
    .orderBy('id', direction)
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
