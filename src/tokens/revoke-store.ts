import { sql } from 'kysely'
import type { Db } from '../db/database.ts'
import { eventsInsert, type NewEvent } from '../db/events.ts'
import { statement } from '../db/statement.ts'
import type { Actor, TokenRow } from '../db/tables.ts'
import { together } from '../db/together.ts'
import type { Token } from './store.ts'

type Revocation = { revokedAt: Date; revokedBy: Actor; revokedReason: string | null }

type Revoking = { token: Token; revocation: Revocation; event: NewEvent }
type Revoked = Pick<TokenRow, 'id' | 'version'>

/**
 * Token by token, and by their place once they are held: PostgreSQL, which does not know how many they are, might rather
 * read the whole table.
 */
function revoking(name: string, { waits }: { waits: boolean }) {
  return statement<{ rows: string; events: string }, Revoked>(name, (builder, parameter) =>
    sql<Revoked>`
      with given as materialized (
        select ${parameter('rows')}::json as rows, ${parameter('events')}::json as events
      ), held as (
        select found.place, asked.revoked_at, asked.revoked_by, asked.revoked_reason
        from given, json_populate_recordset(null::tokens, given.rows) as asked
        cross join lateral (
          select ctid as place from tokens
          where organization_id = asked.organization_id and id = asked.id
            and version = asked.version and revoked_at is null
          for no key update ${waits ? sql`` : sql`skip locked`}
        ) as found
      ), token as (
        update tokens
        set revoked_at = held.revoked_at, revoked_by = held.revoked_by, revoked_reason = held.revoked_reason,
          updated_at = held.revoked_at, version = tokens.version + 1
        from held where tokens.ctid = held.place
        returning tokens.id, tokens.version
      ), event as (
        ${eventsInsert(sql`(select events from given)`)} where target_id in (select id::text from token)
      )
      select id, version from token`.compile(builder),
  )
}

const revokeFree = revoking('tokens-revoke', { waits: false })
const revokeWaiting = revoking('token-revoke', { waits: true })

const revoke = together<Revoking, Revoked>({
  async all(db, asked) {
    // Of two who revoke the same token one comes after the other.
    const first = new Map([...asked].reverse().map((one) => [one.token.id, one]))
    const revoked = await revokeFree(db, asJson([...first.values()]))
    return asked.map((one) =>
      first.get(one.token.id) === one ? revoked.find(({ id }) => id === one.token.id) : undefined,
    )
  },
  async one(db, asked) {
    const [revoked] = await revokeWaiting(db, asJson([asked]))
    return revoked
  },
})

/** And says so in the change log, with `event`. Undefined: the token is no longer as it was read, and was left alone. */
export async function revokeToken(
  db: Db,
  token: Token,
  revocation: Revocation,
  event: NewEvent,
): Promise<Token | undefined> {
  const revoked = await revoke(db, { token, revocation, event })
  return revoked && { ...token, ...revocation, updatedAt: revocation.revokedAt, version: revoked.version }
}

function asJson(asked: Revoking[]) {
  const rows = asked.map(({ token, revocation }) => ({
    organization_id: token.organizationId,
    id: token.id,
    version: token.version,
    revoked_at: revocation.revokedAt,
    revoked_by: revocation.revokedBy,
    revoked_reason: revocation.revokedReason,
  }))
  return { rows: JSON.stringify(rows), events: JSON.stringify(asked.map(({ event }) => event)) }
}
