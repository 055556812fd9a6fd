import { createHash } from 'node:crypto'
import { promisify } from 'node:util'
import { deflate } from 'node:zlib'
import { LRUCache } from 'lru-cache'
import type { Db } from '../db/database.ts'
import { activeSigner, canSign, type Signing, signJwt } from '../keys/signing.ts'
import { AppError } from '../shared/errors.ts'
import { uriOf } from './allocate.ts'
import * as store from './store.ts'

/** In seconds: how long a verifier may use a list before fetching a newer one. */
export const listTtl = 30
/** How long it may keep using a list if it cannot fetch a newer one. */
const lifetime = 300
/** How long an instance serves the same list, which bounds the cost of a flood of requests. */
export const keptMs = 10_000
/** How many lists an instance caches. */
const capacity = 100

const compress = promisify(deflate)

export type StatusList = { jwt: string; etag: string }

type Kept = { at: number; list: Promise<StatusList | undefined> }

/**
 * The lists as served. One bit per token: 1 if it is revoked or deleted, or its organization or type is suspended.
 * Expiry changes nothing, since the token itself states it.
 */
export function createStatusLists(db: Db, signing: Signing, issuer: string) {
  const kept = new LRUCache<string, Kept>({ max: capacity })

  return async function getStatusList(id: string, now: Date): Promise<StatusList> {
    const at = now.getTime()
    let one = kept.get(id)
    if (!one || at - one.at >= keptMs) {
      one = { at, list: signList(db, { signing, issuer }, id, now) }
      kept.set(id, one)
      // Failures and missing lists are not cached.
      const forget = () => void kept.delete(id)
      one.list.then((list) => list ?? forget(), forget)
    }
    const list = await one.list
    if (!list) throw new AppError('not_found', 'There is no such status list.')
    return list
  }
}

/** A Status List Token (draft-ietf-oauth-status-list §5.1); undefined if there is no such list. */
async function signList(
  db: Db,
  { signing, issuer }: { signing: Signing; issuer: string },
  id: string,
  now: Date,
): Promise<StatusList | undefined> {
  const list = await store.findList(db, id)
  if (!list) return undefined
  if (!canSign(signing))
    throw new AppError('unavailable', 'No MASTER_KEY is configured, so the list cannot be signed.')
  const lst = await encodeBits(list.size, await store.selectInvalid(db, id))
  const iat = Math.floor(now.getTime() / 1000)
  const jwt = await signJwt(await activeSigner(db, signing, now), 'statuslist+jwt', {
    iss: issuer,
    sub: uriOf(issuer, id),
    iat,
    exp: iat + lifetime,
    ttl: listTtl,
    status_list: { bits: 1, lst },
  })
  return { jwt, etag: `"${createHash('sha256').update(jwt).digest('base64url')}"` }
}

/**
 * The `lst` of a list with one bit per token, in which these indexes are set: counted from the least significant bit of
 * the first byte, and compressed (draft-ietf-oauth-status-list §4.1 and §4.2).
 */
export async function encodeBits(size: number, indexes: Iterable<number>): Promise<string> {
  const bytes = Buffer.alloc(size / 8)
  for (const index of indexes) bytes[index >> 3] = (bytes[index >> 3] ?? 0) | (1 << (index & 7))
  return (await compress(bytes, { level: 9 })).toString('base64url')
}
