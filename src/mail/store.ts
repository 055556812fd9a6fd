import { sql } from 'kysely'
import { insertInBatches } from '../db/batches.ts'
import type { Db } from '../db/database.ts'
import type { MailedType } from '../shared/event-types.ts'
import type { PolicyDocument } from '../shared/policy.ts'

/** A notice as it is stored until it is sent. */
export type MailedEvent = {
  type: MailedType
  occurredAt: Date
  data: {
    organization: string
    /** Whether it goes to the owner of the token. */
    toOwner: boolean
    name: string
    token: { type: string; hint: string | null; owner: string | null; expiresAt: string | null } | null
    /** Further members of the event. */
    more: Record<string, unknown>
  }
}

export type NewMail = MailedEvent & { organizationId: string; recipient: string; eventId: string }

/** All mails that wait for a recipient in an organization. */
export type Claimed = { organizationId: string; recipient: string; mails: PendingMail[] }
export type PendingMail = MailedEvent & { eventId: string; attempts: number }

export async function selectPolicies(tx: Db, ids: string[]): Promise<Map<string, PolicyDocument>> {
  const rows = await tx.selectFrom('organizations').select(['id', 'policy']).where('id', 'in', ids).execute()
  return new Map(rows.map(({ id, policy }) => [id, policy]))
}

export async function insertMails(tx: Db, mails: NewMail[], now: Date): Promise<void> {
  const rows = mails.map(({ data, ...mail }) => ({ ...mail, data: JSON.stringify(data), nextAttemptAt: now }))
  await insertInBatches(rows, (some) =>
    tx
      .insertInto('mails')
      .values(some)
      .onConflict((conflict) => conflict.doNothing())
      .execute(),
  )
}

/**
 * Claims all mail of recipients who have something due, so that a single instance decides about a digest. Claims are
 * made one at a time: two concurrent ones could each take half of the mails for a recipient.
 */
export async function claimMails(db: Db, now: Date, until: Date, limit: number): Promise<Claimed[]> {
  return db.transaction().execute(async (tx) => {
    await sql`select pg_advisory_xact_lock(7665)`.execute(tx)
    const { rows } = await sql<Omit<Claimed, 'mails'> & PendingMail>`
      with due as (
        select organization_id, recipient from mails where status = 'pending'
        group by organization_id, recipient
        having min(next_attempt_at) <= ${now} and coalesce(max(claimed_until), '-infinity') <= ${now}
        order by min(next_attempt_at) limit ${limit}
      )
      update mails set claimed_until = ${until} from due
      where mails.organization_id = due.organization_id and mails.recipient = due.recipient and status = 'pending'
      returning mails.organization_id, mails.recipient, mails.event_id, mails.type, mails.occurred_at, mails.data,
        mails.attempts`.execute(tx)
    const groups = Map.groupBy(rows, ({ organizationId, recipient }) => `${organizationId} ${recipient}`)
    return [...groups.values()].map((mails) => ({
      organizationId: mails[0]?.organizationId ?? '',
      recipient: mails[0]?.recipient ?? '',
      mails: mails.sort((a, b) => a.occurredAt.getTime() - b.occurredAt.getTime()),
    }))
  })
}

/** How many single mails a recipient has received since then, and when the last digest was sent. */
export async function countSent(
  db: Db,
  { organizationId, recipient }: Claimed,
  since: Date,
): Promise<{ singles: number; lastDigest: Date | null }> {
  return db
    .selectFrom('mails')
    .select([
      sql<number>`(count(*) filter (where not digest))::int`.as('singles'),
      sql<Date | null>`max(sent_at) filter (where digest)`.as('lastDigest'),
    ])
    .where('organizationId', '=', organizationId)
    .where('recipient', '=', recipient)
    .where('status', '=', 'sent')
    .where('sentAt', '>', since)
    .executeTakeFirstOrThrow()
}

type Settled = {
  attempts?: number
  status?: 'sent' | 'failed'
  sentAt?: Date
  digest?: boolean
  nextAttemptAt?: Date
}

/** Stores the results of mails, and ends their claim. */
export async function settleMails(
  db: Db,
  { organizationId, recipient }: Claimed,
  mails: PendingMail[],
  values: Settled,
): Promise<void> {
  await db
    .updateTable('mails')
    .set({ ...values, claimedUntil: null })
    .where('organizationId', '=', organizationId)
    .where('recipient', '=', recipient)
    .where(
      'eventId',
      'in',
      mails.map(({ eventId }) => eventId),
    )
    .execute()
}

/** Deletes at most `limit` mails about events before this instant, sent or not. */
export async function deleteOldMails(db: Db, before: Date, limit: number): Promise<number> {
  const { numAffectedRows } = await sql`
    delete from mails where ctid = any(array(
      select ctid from mails where occurred_at < ${before} order by occurred_at limit ${limit}
    ))`.execute(db)
  return Number(numAffectedRows ?? 0)
}
