import { sql, type Updateable } from 'kysely'
import type { Db } from '../db/database.ts'
import type { Tables } from '../db/tables.ts'

type Revocation = Pick<Updateable<Tables['tokens']>, 'revokedBy' | 'revokedReason' | 'updatedAt'> & {
  revokedAt: Date
}

/** Revokes an owner's tokens that are neither expired nor revoked, and says which ones these were. */
export async function revokeAllOf(
  tx: Db,
  { organizationId, subject }: { organizationId: string; subject: string },
  revocation: Revocation,
): Promise<{ id: string; name: string }[]> {
  return tx
    .updateTable('tokens')
    .set((row) => ({ ...revocation, version: row('version', '+', 1) }))
    .where('organizationId', '=', organizationId)
    .where('ownerSubject', '=', subject)
    .where('revokedAt', 'is', null)
    .where(sql<boolean>`coalesce(expires_at, 'infinity') > ${revocation.revokedAt}`)
    .returning(['id', 'name'])
    .execute()
}
