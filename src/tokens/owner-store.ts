import { sql, type Updateable } from 'kysely'
import type { Db } from '../db/database.ts'
import type { Tables } from '../db/tables.ts'

type Revocation = Pick<Updateable<Tables['tokens']>, 'revokedBy' | 'revokedReason' | 'updatedAt'> & {
  revokedAt: Date
}

/** Revokes at most `limit` of an owner's tokens that are neither expired nor revoked, and returns them. */
export async function revokeSomeOf(
  tx: Db,
  { organizationId, subject }: { organizationId: string; subject: string },
  revocation: Revocation,
  limit: number,
): Promise<{ id: string; name: string }[]> {
  const some = tx
    .selectFrom('tokens')
    .select('id')
    .where('organizationId', '=', organizationId)
    .where('ownerSubject', '=', subject)
    .where('revokedAt', 'is', null)
    .where(sql<boolean>`coalesce(expires_at, 'infinity') > ${revocation.revokedAt}`)
    .orderBy(sql`coalesce(expires_at, 'infinity')`)
    .limit(limit)
    .forUpdate()
  return tx
    .updateTable('tokens')
    .set((row) => ({ ...revocation, version: row('version', '+', 1) }))
    .where('organizationId', '=', organizationId)
    .where(sql<boolean>`id = any(array(${some}))`)
    .returning(['id', 'name'])
    .execute()
}
