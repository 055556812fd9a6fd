import type { Caller } from '../access/caller.ts'
import type { Db } from '../db/database.ts'
import { reachableOrganization } from '../organizations/reach.ts'
import type { TokenQuery } from './list-conditions.ts'
import { type Listed, selectTokens } from './list-store.ts'
import { onlyOwner } from './tokens.ts'

/** One row more than `limit` where there are more. */
export async function listTokens(
  db: Db,
  caller: Caller,
  organizationKey: string,
  query: Omit<TokenQuery, 'now'>,
): Promise<Listed[]> {
  const { id } = await reachableOrganization(db, caller, organizationKey)
  const self = onlyOwner(caller, 'tokens:read')
  if (self !== undefined && query.owner !== undefined && query.owner !== self) return []
  return selectTokens(db, id, { ...query, ...(self !== undefined && { owner: self }), now: caller.now })
}
