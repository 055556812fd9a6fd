import { type Caller, requirePermission } from '../access/caller.ts'
import { recordAll } from '../audit/audit.ts'
import type { Db } from '../db/database.ts'
import { lockOrganization, reachableOrganization } from '../organizations/lookup.ts'
import { tokenEvent } from './audit-event.ts'
import { revokeAllOf } from './owner-store.ts'
import { onlyOwner } from './token-owner-scope.ts'

/**
 * Revokes what an owner has that is neither expired nor revoked, all of it or nothing, and says how many that were.
 * The lock makes it wait for tokens that are just being created for them, so that none slips through.
 */
export async function revokeOwnerTokens(
  db: Db,
  caller: Caller,
  organizationKey: string,
  subject: string,
  reason: string | null,
): Promise<number> {
  const { id: organizationId } = await reachableOrganization(db, caller, organizationKey)
  const self = onlyOwner(caller, 'tokens:write')
  if (self !== undefined && self !== subject) requirePermission(caller, 'tokens:write')
  return db.transaction().execute(async (tx) => {
    await lockOrganization(tx, organizationId)
    const revoked = await revokeAllOf(
      tx,
      { organizationId, subject },
      {
        revokedAt: caller.now,
        revokedBy: JSON.stringify(caller.actor),
        revokedReason: reason,
        updatedAt: caller.now,
      },
    )
    const changes = { before: {}, after: { reason } }
    const happenings = revoked.map((token) =>
      tokenEvent('token.revoked', { organizationId, ...token }, changes),
    )
    await recordAll(tx, caller, happenings)
    return revoked.length
  })
}
