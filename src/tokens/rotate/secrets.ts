import type { Caller } from '../../access/caller.ts'
import type { Db } from '../../db/database.ts'
import { getToken, type Which } from '../find.ts'
import {
  type LiveSecret,
  type NewSecret,
  type SupersededSecret,
  selectLive,
  selectSuperseded,
} from './store.ts'

export const secretStatuses = ['pending', 'current', 'overlapping', 'superseded'] as const

/** One of the secrets that a token has or had. */
export type TokenSecret = Omit<LiveSecret, 'hash' | 'overlapSeconds' | 'newExpiresAt'> &
  Pick<SupersededSecret, 'reusedAt' | 'reusedIp'> & { status: (typeof secretStatuses)[number] }

/** How many superseded secrets are shown, so that the response stays bounded. */
export const mostSupersededShown = 100

/** The secrets of a token that the caller may read, without the secrets themselves. */
export async function listTokenSecrets(db: Db, caller: Caller, which: Which): Promise<TokenSecret[]> {
  const token = await getToken(db, caller, which, undefined)
  return listSecrets(db, token, caller.now)
}

/** The newest first. */
async function listSecrets(
  db: Db,
  token: { organizationId: string; id: string },
  now: Date,
): Promise<TokenSecret[]> {
  const superseded = await selectSuperseded(db, token, mostSupersededShown)
  return [
    ...shownLive(await selectLive(db, token), now),
    ...superseded.map((one) => ({ ...one, lapsesAt: null, status: 'superseded' as const })),
  ]
}

/** The secrets that are good or may become good. */
export function shownLive(live: LiveSecret[], now: Date): TokenSecret[] {
  return live
    .filter(({ lapsesAt }) => lapsesAt === null || lapsesAt > now)
    .map((one) => ({ ...one, reusedAt: null, reusedIp: null, status: statusOf(one, now) }))
}

/** A secret that was created just now. */
export function shownNew({ id, hint, pending }: NewSecret, now: Date): TokenSecret {
  return {
    id,
    hint,
    status: pending ? 'pending' : 'current',
    createdAt: now,
    supersededAt: null,
    validUntil: null,
    lapsesAt: pending?.lapsesAt ?? null,
    firstUsedAt: null,
    lastUsedAt: null,
    lastUsedIp: null,
    useCount: 0,
    reusedAt: null,
    reusedIp: null,
  }
}

function statusOf({ lapsesAt, validUntil }: LiveSecret, now: Date): TokenSecret['status'] {
  if (lapsesAt !== null) return 'pending'
  if (validUntil === null) return 'current'
  return validUntil > now ? 'overlapping' : 'superseded'
}
