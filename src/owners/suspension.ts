import type { Origin } from '../access/caller.ts'
import { type Action, record } from '../audit/audit.ts'
import type { Db } from '../db/database.ts'
import type { Changes, Owner } from '../db/tables.ts'
import * as store from './store.ts'

/**
 * The sources that can suspend an owner: an administrator, the directory (the user is inactive there, or was deleted),
 * or the security events of a trusted issuer.
 */
export type SuspensionSource = 'administrator' | 'scim' | 'scim_deleted' | `signals:${string}`

/** How the change log names the cause. */
type Details = Record<string, unknown>

/** Older versions recorded no source; there, only administrators could suspend. */
export function suspendedBy({
  suspendedAt,
  suspendedBy,
}: Pick<Owner, 'suspendedAt' | 'suspendedBy'>): string[] {
  if (suspendedAt === null) return []
  return suspendedBy.length > 0 ? suspendedBy : ['administrator']
}

/** The owner is suspended as long as at least one source suspends it. */
export async function suspendBy(
  tx: Db,
  origin: Origin,
  owner: Owner,
  { source, ...details }: { source: SuspensionSource; details?: Details },
): Promise<Owner> {
  const sources = suspendedBy(owner)
  return sources.includes(source)
    ? owner
    : setSources(tx, origin, owner, { sources: [...sources, source], ...details })
}

/** Ends only the suspension by these sources; `'all'` is for administrators. */
export async function resumeBy(
  tx: Db,
  origin: Origin,
  owner: Owner,
  { ended, ...details }: { ended: readonly SuspensionSource[] | 'all'; details?: Details },
): Promise<Owner> {
  const sources = suspendedBy(owner)
  const kept = ended === 'all' ? [] : sources.filter((source) => !ended.some((one) => one === source))
  return kept.length === sources.length ? owner : setSources(tx, origin, owner, { sources: kept, ...details })
}

async function setSources(
  tx: Db,
  origin: Origin,
  owner: Owner,
  { sources, details }: { sources: string[]; details?: Details },
): Promise<Owner> {
  const before = suspendedBy(owner)
  const changed = await store.updateOwner(tx, owner, {
    suspendedBy: sources,
    suspendedAt: sources.length > 0 ? (owner.suspendedAt ?? origin.now) : null,
    updatedAt: origin.now,
  })
  const ended = sources.length === 0 ? 'owner.resumed' : 'owner.updated'
  await logOwner(tx, origin, changed, {
    action: sources.length > before.length ? 'owner.suspended' : ended,
    changes: { before: { suspended_by: before }, after: { suspended_by: sources, ...details } },
  })
  return changed
}

export async function logOwner(
  tx: Db,
  origin: Origin,
  { organizationId, subject }: Pick<Owner, 'organizationId' | 'subject'>,
  event: { action: Action; changes?: Changes },
): Promise<void> {
  const target = { type: 'owner', id: subject, name: subject } as const
  await record(tx, origin, { organizationId, target, ...event })
}
