import { type Caller, type Origin, onBehalfOf, requirePermission } from '../access/caller.ts'
import { recordAll } from '../audit/audit.ts'
import { batchSize, inBatches } from '../db/batches.ts'
import type { Db } from '../db/database.ts'
import { lockOrganization, reachableOrganization } from '../organizations/lookup.ts'
import { tokenEvent } from './audit-event.ts'
import { revokeSomeOf } from './owner-store.ts'
import { onlyOwner } from './token-owner-scope.ts'

/**
 * Revokes an owner's tokens that are neither expired nor revoked, and returns how many there were. Up to one batch, it
 * revokes all or none. With more, tokens revoked before an error stay revoked, and another call revokes the rest.
 */
export async function revokeOwnerTokens(
  db: Db,
  caller: Caller,
  { organization, subject }: { organization: string; subject: string },
  reason: string | null,
): Promise<number> {
  const { id: organizationId } = await reachableOrganization(db, caller, organization)
  const self = onlyOwner(caller, 'tokens:write')
  if (self !== undefined && self !== subject) requirePermission(caller, 'tokens:write')
  return revokeTokensOf(db, onBehalfOf(caller, subject), { organizationId, subject }, reason)
}

/** The same, for a change that the caller was already permitted. */
export async function revokeTokensOf(
  db: Db,
  origin: Origin,
  { organizationId, subject }: { organizationId: string; subject: string },
  reason: string | null,
): Promise<number> {
  // Waits for tokens that are being created right now, without keeping the lock: a token whose creation starts later is
  // newer than this request.
  await db.transaction().execute((tx) => lockOrganization(tx, organizationId))
  return inBatches(() =>
    db.transaction().execute(async (tx) => {
      const revocation = {
        revokedAt: origin.now,
        revokedBy: JSON.stringify(origin.actor),
        revokedReason: reason,
        updatedAt: origin.now,
      }
      const revoked = await revokeSomeOf(tx, { organizationId, subject }, revocation, batchSize)
      const changes = { before: {}, after: { reason } }
      const oldestFirst = revoked.sort((one, other) => (one.id < other.id ? -1 : 1))
      const events = oldestFirst.map((token) =>
        tokenEvent('token.revoked', { organizationId, ...token }, changes),
      )
      await recordAll(tx, origin, events)
      return revoked.length
    }),
  )
}
