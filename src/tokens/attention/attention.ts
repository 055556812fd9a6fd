import type { Caller } from '../../access/caller.ts'
import type { Db } from '../../db/database.ts'
import { reachableOrganization } from '../../organizations/lookup.ts'
import { platformId } from '../../shared/platform.ts'
import type { ListedToken } from '../list/store.ts'
import { onlyOwner } from '../token-owner-scope.ts'
import * as store from './store.ts'

type Scope = Pick<store.Attention, 'organizationId' | 'owner'>

export type AttentionRow = { token: ListedToken; position: store.Position }
export type AttentionPage = { rows: AttentionRow[]; resume: store.Position | undefined }

/** Active tokens that need attention, in all organizations that the caller reaches. One row more than `limit` if there are more. */
export async function listAttention(
  db: Db,
  caller: Caller,
  asked: { organization: string | undefined; reason: store.Reason; days: number },
  { after, limit }: { after: store.Position | undefined; limit: number },
): Promise<AttentionPage> {
  const { reason, days } = asked
  const scope = await scopeOf(db, caller, asked.organization)
  const read = await store.selectExamined(db, { ...scope, reason, days, now: caller.now }, after)
  const examined = read.slice(0, store.maxExamined)
  const due = examined.filter(({ isDue }) => isDue).slice(0, limit + 1)
  const tokens = await store.selectByPosition(
    db,
    due.map(({ position }) => position),
  )
  const positions = new Map(due.map(({ position }) => [position.id, position]))
  const rows = tokens.flatMap((token) => {
    const position = positions.get(token.id)
    return position ? { token, position } : []
  })
  const resume = read.length > examined.length ? examined.at(-1)?.position : undefined
  return { rows, resume }
}

export async function countAttention(
  db: Db,
  caller: Caller,
  asked: { organization: string | undefined; expiringDays: number; unusedDays: number },
): Promise<Record<store.Reason, store.Count>> {
  const scope = { ...(await scopeOf(db, caller, asked.organization)), now: caller.now }
  const count = (reason: store.Reason, days: number) => store.selectCount(db, { ...scope, reason, days })
  return {
    expiring: await count('expiring', asked.expiringDays),
    never_used: await count('never_used', 0),
    unused: await count('unused', asked.unusedDays),
    rotation_due: await count('rotation_due', 0),
  }
}

/**
 * All organizations for callers of the platform, otherwise the caller's own; with `tokens:own` only the caller's
 * tokens.
 */
async function scopeOf(db: Db, caller: Caller, organization: string | undefined): Promise<Scope> {
  const id =
    organization === undefined ? undefined : (await reachableOrganization(db, caller, organization)).id
  const owner = onlyOwner(caller, 'tokens:read')
  const { organizationId } = caller.principal
  return { organizationId: id ?? (organizationId === platformId ? undefined : organizationId), owner }
}
