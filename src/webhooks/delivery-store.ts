import { sql } from 'kysely'
import { insertInBatches } from '../db/batches.ts'
import type { Db } from '../db/database.ts'
import type { Delivery, DeliveryStatus, Tables, Webhook } from '../db/tables.ts'
import type { Key } from './store.ts'

export type NewDelivery = Pick<
  Tables['deliveries'],
  'organizationId' | 'webhookId' | 'id' | 'type' | 'subject' | 'body'
> & { occurredAt: Date; nextAttemptAt: Date }

/** A delivery that an instance attempts, with the columns of the webhook that it needs. */
export type Claimed = Pick<
  Tables['deliveries'],
  'organizationId' | 'webhookId' | 'id' | 'type' | 'subject' | 'body'
> & { attempts: number } & Pick<
    Webhook,
    'url' | 'sealedSecret' | 'sealedPreviousSecret' | 'previousUntil' | 'failingSince'
  >

type Which = Key & { delivery: string }

const columns = [
  'organizationId',
  'webhookId',
  'id',
  'position',
  'type',
  'occurredAt',
  'status',
  'attempts',
  'nextAttemptAt',
  'attemptedAt',
  'durationMs',
  'responseStatus',
  'error',
] as const satisfies (keyof Delivery)[]

/** In this order, which is that of their delivery. */
export async function insertDeliveries(tx: Db, deliveries: NewDelivery[]): Promise<void> {
  await insertInBatches(deliveries, (some) => tx.insertInto('deliveries').values(some).execute())
}

/** Newest first; one row more than `limit` if there are more. */
export async function selectDeliveries(
  db: Db,
  { organizationId, id }: Key,
  { status, before, limit }: { status?: DeliveryStatus; before?: string; limit: number },
): Promise<Delivery[]> {
  return db
    .selectFrom('deliveries')
    .select(columns)
    .where('organizationId', '=', organizationId)
    .where('webhookId', '=', id)
    .$if(status !== undefined, (query) => query.where('status', '=', status as DeliveryStatus))
    .$if(before !== undefined, (query) => query.where('position', '<', before as string))
    .orderBy('position', 'desc')
    .limit(limit + 1)
    .execute()
}

/** Undefined if there is no such delivery. */
export async function replayDelivery(
  tx: Db,
  which: Which,
  now: Date,
): Promise<(Delivery & { subject: string }) | undefined> {
  return tx
    .updateTable('deliveries')
    .set({ status: 'pending', attempts: 0, nextAttemptAt: now })
    .where('organizationId', '=', which.organizationId)
    .where('webhookId', '=', which.id)
    .where('id', '=', which.delivery)
    .returning([...columns, 'subject'])
    .executeTakeFirst()
}

/** The oldest `limit` deliveries of events in the range, and their number. */
export async function replayDeliveries(
  tx: Db,
  { organizationId, id }: Key,
  range: { since: Date; until: Date | undefined; statuses: DeliveryStatus[]; limit: number; now: Date },
): Promise<number> {
  const { numUpdatedRows } = await tx
    .updateTable('deliveries')
    .set({ status: 'pending', attempts: 0, nextAttemptAt: range.now })
    .where('organizationId', '=', organizationId)
    .where('webhookId', '=', id)
    .where('id', 'in', (query) =>
      query
        .selectFrom('deliveries')
        .select('id')
        .where('organizationId', '=', organizationId)
        .where('webhookId', '=', id)
        .where('occurredAt', '>=', range.since)
        .$if(range.until !== undefined, (some) => some.where('occurredAt', '<', range.until as Date))
        .where('status', 'in', range.statuses)
        .orderBy('position')
        .limit(range.limit),
    )
    .executeTakeFirst()
  return Number(numUpdatedRows)
}

export type Room = {
  now: Date
  /** When another instance may claim these deliveries again. */
  until: Date
  /** How many deliveries may be attempted in addition. */
  free: number
  /** How many are being attempted, by webhook. */
  busy: Record<string, number>
  /** How many may be attempted at a time for one webhook, and for one that has been failing since then or longer. */
  most: { usual: number; failing: number }
  failingSince: Date
}

/**
 * Claims deliveries that are due. A delivery waits for every earlier one of its subject to the same webhook. Webhooks are visited in
 * random order, so that none is always the last.
 */
export async function claimDeliveries(
  db: Db,
  { now, until, free, busy, most, failingSince }: Room,
): Promise<Claimed[]> {
  const { rows } = await sql<Claimed>`
    with active as materialized (
      select organization_id, id, url, sealed_secret, sealed_previous_secret, previous_until, failing_since,
        greatest(0, case when coalesce(failing_since, 'infinity') > ${failingSince} then ${most.usual}::int else ${most.failing}::int end
          - coalesce((${JSON.stringify(busy)}::json ->> id::text)::int, 0)) as room
      from webhooks where paused_at is null and disabled_at is null
      order by random()
    ), due as (
      select active.url, active.sealed_secret, active.sealed_previous_secret, active.previous_until, active.failing_since,
        due.organization_id, due.webhook_id, due.id
      from active cross join lateral (
        select organization_id, webhook_id, id from deliveries
        where organization_id = active.organization_id and webhook_id = active.id and status = 'pending'
          and next_attempt_at <= ${now}
          and not exists (
            select from deliveries as earlier
            where earlier.organization_id = deliveries.organization_id and earlier.webhook_id = deliveries.webhook_id
              and earlier.subject = deliveries.subject and earlier.status = 'pending'
              and earlier.position < deliveries.position
          )
        order by next_attempt_at, position
        limit active.room
        for update skip locked
      ) as due
      limit ${free}
    )
    update deliveries set next_attempt_at = ${until}
    from due
    where deliveries.organization_id = due.organization_id and deliveries.webhook_id = due.webhook_id
      and deliveries.id = due.id
    returning deliveries.organization_id, deliveries.webhook_id, deliveries.id, deliveries.type, deliveries.subject,
      deliveries.body, deliveries.attempts, due.url, due.sealed_secret, due.sealed_previous_secret, due.previous_until,
      due.failing_since`.execute(db)
  return rows
}

export type Outcome = {
  status: DeliveryStatus
  nextAttemptAt: Date | null
  attemptedAt: Date
  durationMs: number
  responseStatus: number | null
  error: string | null
}

/** False if the delivery has changed since it was claimed: another instance took over, or it was replayed. */
export async function settleDelivery(
  db: Db,
  { organizationId, webhookId, id, attempts }: Claimed,
  outcome: Outcome,
): Promise<boolean> {
  const { numUpdatedRows } = await db
    .updateTable('deliveries')
    .set({ ...outcome, attempts: attempts + 1 })
    .where('organizationId', '=', organizationId)
    .where('webhookId', '=', webhookId)
    .where('id', '=', id)
    .where('status', '=', 'pending')
    .where('attempts', '=', attempts)
    .executeTakeFirst()
  return numUpdatedRows > 0n
}

/** Lets the delivery be claimed again at once, as if it had not been. */
export async function releaseDelivery(db: Db, claimed: Claimed, now: Date): Promise<void> {
  await db
    .updateTable('deliveries')
    .set({ nextAttemptAt: now })
    .where('organizationId', '=', claimed.organizationId)
    .where('webhookId', '=', claimed.webhookId)
    .where('id', '=', claimed.id)
    .where('status', '=', 'pending')
    .where('attempts', '=', claimed.attempts)
    .execute()
}

/**
 * Moves the deliveries behind a failed one to its next attempt. They would not be claimed before anyway, but examining them
 * repeatedly takes time.
 */
export async function postponeFollowers(
  db: Db,
  { organizationId, webhookId, subject }: Claimed,
  until: Date,
): Promise<void> {
  await db
    .updateTable('deliveries')
    .set({ nextAttemptAt: until })
    .where('organizationId', '=', organizationId)
    .where('webhookId', '=', webhookId)
    .where('subject', '=', subject)
    .where('status', '=', 'pending')
    .where('nextAttemptAt', '<', until)
    .execute()
}

/** Makes pending deliveries due: all of the webhook, or those of one subject. */
export async function hastenDeliveries(
  db: Db,
  { organizationId, id }: Key,
  now: Date,
  subject?: string,
): Promise<void> {
  await db
    .updateTable('deliveries')
    .set({ nextAttemptAt: now })
    .where('organizationId', '=', organizationId)
    .where('webhookId', '=', id)
    .$if(subject !== undefined, (query) => query.where('subject', '=', subject as string))
    .where('status', '=', 'pending')
    .where('nextAttemptAt', '>', now)
    .execute()
}

/** An attempt succeeded. */
export async function clearFailing(db: Db, { organizationId, webhookId }: Claimed): Promise<void> {
  await db
    .updateTable('webhooks')
    .set({ failingSince: null, failingAnnouncedAt: null })
    .where('organizationId', '=', organizationId)
    .where('id', '=', webhookId)
    .where('failingSince', 'is not', null)
    .execute()
}

/** Deletes at most `limit` deliveries of events before this instant, in any state. */
export async function deleteOldDeliveries(db: Db, before: Date, limit: number): Promise<number> {
  const { numAffectedRows } = await sql`
    delete from deliveries where ctid = any(array(
      select ctid from deliveries where occurred_at < ${before} order by occurred_at limit ${limit}
    ))`.execute(db)
  return Number(numAffectedRows ?? 0)
}
