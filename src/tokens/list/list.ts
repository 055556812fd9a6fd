import type { Caller } from '../../access/caller.ts'
import type { Db } from '../../db/database.ts'
import { reachableOrganization } from '../../organizations/lookup.ts'
import type { Status } from '../../shared/status.ts'
import { type StaticSecret, staticToken } from '../static-secret/static-secret.ts'
import { onlyOwner } from '../token-owner-scope.ts'
import { fits, mergeEntry, sortValueOf } from './merge-static-token.ts'
import {
  type Count,
  type Listed,
  lastExamined,
  type Position,
  selectCount,
  selectTokens,
  type TokenQuery,
} from './store.ts'

/** The position to continue from, if the page ended before it was full. */
export type TokenRows = { rows: Listed[]; resume: Position | undefined }

/** One or two rows more than `limit` if there are more. */
export async function listTokens(
  db: Db,
  caller: Caller,
  organizationKey: string,
  asked: Omit<TokenQuery, 'now'>,
  staticSecret: StaticSecret | undefined,
): Promise<TokenRows> {
  const { id } = await reachableOrganization(db, caller, organizationKey)
  const self = onlyOwner(caller, 'tokens:read')
  if (self !== undefined && asked.owner !== undefined && asked.owner !== self)
    return { rows: [], resume: undefined }
  const query = { ...asked, ...(self !== undefined && { owner: self }), now: caller.now }
  const rows = await selectTokens(db, id, query)
  const resume = rows.length > query.limit ? undefined : await lastExamined(db, id, query)
  const fixed = await staticToken(db, staticSecret, id)
  if (!fixed || !fits(fixed, query)) return { rows, resume }
  const entry = { ...fixed, sortValue: sortValueOf(query.sort, fixed) }
  return { rows: mergeEntry(rows, entry, query, resume), resume }
}

export type Counts = Record<Status, Count>

/** The tokens of each status, for tabs. Callers with `tokens:own` count their own. */
export async function countTokens(
  db: Db,
  caller: Caller,
  organizationKey: string,
  asked: string | undefined,
  staticSecret: StaticSecret | undefined,
): Promise<Counts> {
  const { id } = await reachableOrganization(db, caller, organizationKey)
  const self = onlyOwner(caller, 'tokens:read')
  const owner = self ?? asked
  const isOthers = asked !== undefined && asked !== owner
  const count = (status: Status): Promise<Count> =>
    isOthers ? Promise.resolve({ count: 0, more: false }) : selectCount(db, id, status, owner, caller.now)
  const fixed = owner === undefined ? await staticToken(db, staticSecret, id) : undefined
  const active = await count('active')
  return {
    active: fixed ? { ...active, count: active.count + 1 } : active,
    expired: await count('expired'),
    revoked: await count('revoked'),
    not_yet_valid: await count('not_yet_valid'),
  }
}
