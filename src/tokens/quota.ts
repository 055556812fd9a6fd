import type { Db } from '../db/database.ts'
import { AppError } from '../shared/errors.ts'
import type { Policy } from '../shared/policy.ts'
import * as store from './quota-store.ts'

/** The limit on active tokens, and their number; counting stops at the limit. */
export type QuotaUsage = { limit: number; active: number }

/** Undefined: there is no limit, or (for service tokens) no owner. */
export type QuotaUsages = { owner: QuotaUsage | undefined; organization: QuotaUsage | undefined }

/** Whether creating a token requires counting tokens or comparing names. */
export function hasQuota({ limits, name }: Policy): boolean {
  return name.unique || limits.active_per_organization !== null || limits.active_per_owner !== null
}

type Claim = { organizationId: string; owner: string | null; name: string; now: Date }

/**
 * Ensures that there is room for one more token, under a lock that lasts until the end of the transaction: of any
 * number of concurrent creates, exactly as many succeed as the limit permits.
 */
export async function claimQuota(tx: Db, policy: Policy, claim: Claim): Promise<void> {
  const { organizationId, owner, name, now } = claim
  const claims = { organizationId, owners: ownersOf(owner), names: [name], now }
  const { usages, names } = await readQuotas(tx, policy, claims, true)
  if (names.get(name)?.isTaken) throw nameTaken()
  const refusal = limitRefusal(usages(owner))
  if (refusal) throw refusal
}

export type Claims = { organizationId: string; owners: string[]; names: string[]; now: Date }

/** How many active tokens there are, by owner and in all, and the names as they are compared. */
export type Taken = {
  usages(owner: string | null): QuotaUsages
  /** By name: its form for comparison, if names are unique, and whether another token has it. */
  names: Map<string, { key: string; isTaken: boolean }>
}

/**
 * The limits on further tokens. With `hold`, they do not change until the end of the transaction. The policy alone
 * determines which lock that takes, and cannot change while the transaction holds the organization.
 */
export async function readQuotas(
  tx: Db,
  { limits, name }: Policy,
  { organizationId, owners, names, now }: Claims,
  hold: boolean,
): Promise<Taken> {
  if (hold && (name.unique || limits.active_per_organization !== null))
    await store.lockQuota(tx, organizationId)
  else if (hold && limits.active_per_owner !== null && owners.length > 0)
    await store.lockQuotasOf(tx, organizationId, owners)
  return {
    usages: await readUsages(tx, limits, { organizationId, owners, now }, hold),
    names: name.unique ? await store.selectNames(tx, { organizationId }, names) : new Map(),
  }
}

async function readUsages(
  db: Db,
  { active_per_organization: most, active_per_owner: mostOfOwner }: Policy['limits'],
  { organizationId, owners, now }: Omit<Claims, 'names'>,
  isLocked = false,
): Promise<Taken['usages']> {
  const active = most === null ? 0 : await activeIn(db, organizationId, { now, limit: most }, isLocked)
  const ofOwners =
    mostOfOwner === null || owners.length === 0
      ? new Map<string, number>()
      : await store.countActiveOf(db, { organizationId, owners }, { now, limit: mostOfOwner })
  return (owner) => ({
    owner:
      mostOfOwner === null || owner === null
        ? undefined
        : { limit: mostOfOwner, active: ofOwners.get(owner) ?? 0 },
    organization: most === null ? undefined : { limit: most, active },
  })
}

/** With more changes than this, or after this time, a create keeps its count for the following ones. */
const mostChanges = 100
const mostMs = 60_000

/** Up to the limit. */
async function activeIn(
  db: Db,
  organizationId: string,
  asked: { now: Date; limit: number },
  isLocked: boolean,
): Promise<number> {
  const { active, countedAt, changes } = await store.countActive(db, organizationId, asked)
  const isOld = countedAt === null || Math.abs(asked.now.getTime() - countedAt.getTime()) > mostMs
  if (isLocked && (isOld || changes > mostChanges)) await store.keepActiveCount(db, organizationId, asked.now)
  return Math.min(active, asked.limit)
}

/** Keeps a count of the active tokens of each organization where they have changed. */
export async function keepActiveCounts(db: Db, now: Date): Promise<void> {
  for (const organizationId of await store.organizationsWithChanges(db)) {
    await db.transaction().execute(async (tx) => {
      await store.lockQuota(tx, organizationId)
      await store.keepActiveCount(tx, organizationId, now)
    })
  }
}

/** Like `claimQuota`, for the new name of an existing token. */
export async function claimName(
  tx: Db,
  { name: rules }: Policy,
  token: { organizationId: string; id: string },
  name: string,
): Promise<void> {
  if (!rules.unique) return
  await store.lockQuota(tx, token.organizationId)
  await rejectTakenName(tx, { organizationId: token.organizationId, name, except: token.id })
}

export async function quotaUsagesOf(
  db: Db,
  limits: Policy['limits'],
  { organizationId, owner, now }: Omit<Claim, 'name'>,
): Promise<QuotaUsages> {
  const usages = await readUsages(db, limits, { organizationId, owners: ownersOf(owner), now })
  return usages(owner)
}

function ownersOf(owner: string | null): string[] {
  return owner === null ? [] : [owner]
}

export function limitRefusal({ owner, organization }: QuotaUsages): AppError | undefined {
  if (owner && owner.active >= owner.limit)
    return new AppError('limit_reached', `The owner has ${owner.active} of ${owner.limit} active tokens.`)
  if (organization && organization.active >= organization.limit) {
    const { active, limit } = organization
    return new AppError('limit_reached', `The organization has ${active} of ${limit} active tokens.`)
  }
  return undefined
}

export async function rejectTakenName(
  tx: Db,
  { organizationId, name, except }: { organizationId: string; name: string; except?: string },
): Promise<void> {
  const names = await store.selectNames(tx, { organizationId, except }, [name])
  if (names.get(name)?.isTaken) throw nameTaken()
}

export function nameTaken(): AppError {
  const detail = 'is the name of another token of the organization'
  return new AppError('name_taken', `name ${detail}`, { fields: [{ in: 'body', field: 'name', detail }] })
}
