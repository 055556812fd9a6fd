import { type RawBuilder, sql } from 'kysely'
import type { Db } from '../db/database.ts'
import { eventColumns, eventsInsert, type NewEvent, outboxInsert } from '../db/events.ts'
import { coalesce } from '../db/group-commit.ts'
import { statement } from '../db/statement.ts'
import type { TokenRow } from '../db/tables.ts'

/** A token's new values by column name, and the change log event. */
type Change<Row> = { row: Row; event: NewEvent }
type Changed = Pick<TokenRow, 'id' | 'version'>

/**
 * A change of a token and its change log event, in one statement: `coalesced` with concurrent changes of other
 * requests, or `alone`, as a transaction needs it. `parts` are the common table expressions that make the change from
 * `given.rows`; `token` names the changed rows. They lock rows by `locked`: coalesced changes skip locked rows, which
 * are then changed alone. The result is undefined if nothing was changed.
 */
export function coalescedChange<Row extends { id: string }>(
  name: string,
  parts: (locked: RawBuilder<unknown>) => RawBuilder<unknown>,
): Record<'coalesced' | 'alone', (db: Db, change: Change<Row>) => Promise<Changed | undefined>> {
  const build = (name: string, locked: RawBuilder<unknown>) =>
    statement<{ rows: string; events: string }, Changed>(name, (builder, parameter) =>
      sql<Changed>`
        with given as materialized (
          select ${parameter('rows')}::json as rows, ${parameter('events')}::json as events
        ), ${parts(locked)}, event as (
          ${eventsInsert(sql`(select events from given)`)} where target_id in (select id::text from token)
          returning ${eventColumns}
        ), told as (
          ${outboxInsert}
        )
        select id, version from token`.compile(builder),
    )
  const free = build(`tokens-${name}`, sql`skip locked`)
  const waiting = build(`token-${name}`, sql``)

  const alone = async (db: Db, change: Change<Row>) => (await waiting(db, asJson([change])))[0]
  const coalesced = coalesce<Change<Row>, Changed>({
    async all(db, changes) {
      // Of two changes to the same token, only the first goes into this statement.
      const first = new Map([...changes].reverse().map((change) => [change.row.id, change]))
      const changed = await free(db, asJson([...first.values()]))
      return changes.map((change) =>
        first.get(change.row.id) === change ? changed.find(({ id }) => id === change.row.id) : undefined,
      )
    },
    one: alone,
  })
  return { coalesced, alone }
}

/** Instants are strings by now: V8 serializes the whole twice as fast if it contains no `toJSON`. */
function asJson<Row>(changes: Change<Row>[]) {
  return {
    rows: JSON.stringify(changes.map(({ row }) => row)),
    events: JSON.stringify(changes.map(({ event }) => event)),
  }
}
