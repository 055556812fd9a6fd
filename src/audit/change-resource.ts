import type { Caller } from '../access/caller.ts'
import type { Db } from '../db/database.ts'
import type { Changes } from '../db/tables.ts'
import { type ExpectedVersions, rejectStale } from '../shared/preconditions.ts'
import { type Action, type NewAuditEvent, record } from './audit.ts'
import { differences } from './changes.ts'

/** Finds and locks the row to change; throws `not_found` if there is none. */
type Locking<Row> = { lock(tx: Db): Promise<Row>; expected?: ExpectedVersions }

/** Locks a row until the change is committed, if it still has a version that the request expects. */
export async function changeLocked<Row extends { version: number }, Result>(
  db: Db,
  { lock, expected }: Locking<Row>,
  change: (tx: Db, row: Row) => Promise<Result>,
): Promise<Result> {
  return db.transaction().execute(async (tx) => {
    const row = await lock(tx)
    rejectStale(row, expected)
    return change(tx, row)
  })
}

/** The values to write and the action to log; undefined leaves the row unchanged. */
type Decision<Values> = { action: Action; values: Values; changes?: Changes } | undefined

type Change<Row, Values> = Locking<Row> & {
  decide(row: Row, tx: Db): Decision<Values> | Promise<Decision<Values>>
  write(tx: Db, row: Row, values: Values & { updatedAt: Date }): Promise<Row>
  /** The log that records the change, and its target there. */
  loggedAs(row: Row): Pick<NewAuditEvent, 'organizationId' | 'target'>
}

/** Locks a row, decides what to change, and writes that together with an event in the change log. */
export async function changeResource<Row extends { version: number }, Values extends object>(
  db: Db,
  caller: Caller,
  { lock, expected, decide, write, loggedAs }: Change<Row, Values>,
): Promise<Row> {
  return changeLocked(db, { lock, expected }, async (tx, row) => {
    const decision = await decide(row, tx)
    if (!decision) return row
    const { values, ...logged } = decision
    const changed = await write(tx, row, { ...values, updatedAt: caller.now })
    await record(tx, caller, { ...loggedAs(changed), ...logged })
    return changed
  })
}

/** Gives the row these values, unless it has them already. */
export function update<Row extends object, Values extends Partial<Row>>(
  action: Action,
  row: Row,
  values: Values,
): Decision<Values> {
  const changes = differences<Partial<Row>>(row, values)
  return changes && { action, values, changes }
}

/** Suspends the row from `suspendedAt` on, or resumes it if null, unless it is in that state already. */
export function suspension(
  kind: 'organization' | 'token_type',
  row: { suspendedAt: Date | null },
  suspendedAt: Date | null,
): Decision<{ suspendedAt: Date | null }> {
  if ((row.suspendedAt !== null) === (suspendedAt !== null)) return undefined
  return { action: `${kind}.${suspendedAt ? 'suspended' : 'resumed'}`, values: { suspendedAt } }
}
