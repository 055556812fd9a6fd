import type { Caller } from '../../access/caller.ts'
import type { Db } from '../../db/database.ts'
import { reachableOrganization } from '../../organizations/lookup.ts'
import type { Status } from '../../shared/status.ts'
import { type StaticSecret, staticToken } from '../static-secret/static-secret.ts'
import type { Token } from '../store.ts'
import { onlyOwner } from '../token-owner-scope.ts'
import { chooseAccessPath, type TokenQuery } from './access-path-store.ts'
import { type Count, selectCount, selectTokens, type TokenRows } from './store.ts'

export async function listTokens(
  db: Db,
  caller: Caller,
  organizationKey: string,
  asked: Omit<TokenQuery, 'now'>,
): Promise<TokenRows> {
  const { id } = await reachableOrganization(db, caller, organizationKey)
  const self = onlyOwner(caller, 'tokens:read')
  if (self !== undefined && asked.owner !== undefined && asked.owner !== self)
    return { rows: [], resume: undefined }
  const query = { ...asked, ...(self !== undefined && { owner: self }), now: caller.now }
  return selectTokens(db, id, query, await chooseAccessPath(db, id, query))
}

/** AUTH_SECRET, if it belongs to this organization. Undefined for callers who see only their own tokens. */
export async function findStaticToken(
  db: Db,
  caller: Caller,
  organizationKey: string,
  staticSecret: StaticSecret | undefined,
): Promise<Token | undefined> {
  if (!staticSecret || onlyOwner(caller, 'tokens:read') !== undefined) return undefined
  const { id } = await reachableOrganization(db, caller, organizationKey)
  return staticToken(db, staticSecret, id)
}

export type Counts = Record<Status, Count>

/** The tokens of each status, for tabs. Callers with `tokens:own` count their own. */
export async function countTokens(
  db: Db,
  caller: Caller,
  organizationKey: string,
  asked: string | undefined,
): Promise<Counts> {
  const { id: organizationId } = await reachableOrganization(db, caller, organizationKey)
  const self = onlyOwner(caller, 'tokens:read')
  const owner = self ?? asked
  const isOthers = asked !== undefined && asked !== owner
  const count = (status: Status): Promise<Count> =>
    isOthers
      ? Promise.resolve({ count: 0, more: false })
      : selectCount(db, { organizationId, owner, status }, caller.now)
  return {
    active: await count('active'),
    expired: await count('expired'),
    revoked: await count('revoked'),
    not_yet_valid: await count('not_yet_valid'),
  }
}
