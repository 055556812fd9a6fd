import { sql } from 'kysely'
import type { Actor } from '../access/caller.ts'
import type { Db } from '../db/database.ts'
import type { NewEvent } from '../db/events.ts'
import { coalescedChange } from './change-store.ts'
import type { Token } from './store.ts'

type Revocation = { revokedAt: Date; revokedBy: Actor; revokedReason: string | null }

/**
 * Locks the tokens one by one, and then updates them by physical row (ctid): PostgreSQL does not know how many there
 * are, and might otherwise scan the table.
 */
const revoke = coalescedChange<ReturnType<typeof rowOf>>(
  'revoke',
  (locked) => sql`
    held as (
      select found.row, asked.revoked_at, asked.revoked_by, asked.revoked_reason
      from given, json_populate_recordset(null::tokens, given.rows) as asked
      cross join lateral (
        select ctid as row from tokens
        where organization_id = asked.organization_id and id = asked.id
          and version = asked.version and revoked_at is null
        for no key update ${locked}
      ) as found
    ), token as (
      update tokens
      set revoked_at = held.revoked_at, revoked_by = held.revoked_by, revoked_reason = held.revoked_reason,
        updated_at = held.revoked_at, version = tokens.version + 1
      from held where tokens.ctid = held.row
      returning tokens.id, tokens.version
    )`,
)

/** Revokes the token and writes `event`. Undefined: the token has changed since it was read, and was not touched. */
export async function revokeToken(
  db: Db,
  token: Token,
  revocation: Revocation,
  event: NewEvent,
): Promise<Token | undefined> {
  const revoked = await revoke.coalesced(db, { row: rowOf(token, revocation), event })
  return revoked && { ...token, ...revocation, updatedAt: revocation.revokedAt, version: revoked.version }
}

function rowOf({ organizationId, id, version }: Token, revocation: Revocation) {
  return {
    organization_id: organizationId,
    id,
    version,
    revoked_at: revocation.revokedAt.toISOString(),
    revoked_by: revocation.revokedBy,
    revoked_reason: revocation.revokedReason,
  }
}
