import type { Caller } from '../../access/caller.ts'
import type { Db } from '../../db/database.ts'
import { reachableOrganization } from '../../organizations/lookup.ts'
import { type StaticSecret, staticToken } from '../static-secret/static-secret.ts'
import { onlyOwner } from '../token-owner-scope.ts'
import { fits, mergeEntry, sortValueOf } from './merge-static-token.ts'
import { type Listed, selectTokens, type TokenQuery } from './store.ts'

/** One or two rows more than `limit` if there are more. */
export async function listTokens(
  db: Db,
  caller: Caller,
  organizationKey: string,
  asked: Omit<TokenQuery, 'now'>,
  staticSecret: StaticSecret | undefined,
): Promise<Listed[]> {
  const { id } = await reachableOrganization(db, caller, organizationKey)
  const self = onlyOwner(caller, 'tokens:read')
  if (self !== undefined && asked.owner !== undefined && asked.owner !== self) return []
  const query = { ...asked, ...(self !== undefined && { owner: self }), now: caller.now }
  const rows = await selectTokens(db, id, query)
  const fixed = await staticToken(db, staticSecret, id)
  if (!fixed || !fits(fixed, query)) return rows
  return mergeEntry(rows, { ...fixed, sortValue: sortValueOf(query.sort, fixed) }, query)
}
