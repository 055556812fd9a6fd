import { sql } from 'kysely'
import type { Db } from '../db/database.ts'

/** The backlog. Counts stop at `mostCounted`, so that they stay cheap when it is long. */
export type Backlog = {
  events: number
  eventAgeSeconds: number
  deliveries: number
  /** How long the most overdue delivery has been due. */
  deliveryOverdueSeconds: number
  mails: number
  webhooks: { active: number; failing: number; paused: number; disabled: number }
}

export const mostCounted = 10_000

export async function selectBacklog(db: Db, now: Date): Promise<Backlog> {
  const count = (rows: ReturnType<typeof sql>) =>
    sql`(select count(*)::int from (${rows} limit ${mostCounted}) as counted)`
  const secondsSince = (instant: ReturnType<typeof sql>) =>
    sql`greatest(0, coalesce(extract(epoch from ${now}::timestamptz - ${instant}), 0))::float8`
  const { rows } = await sql<Backlog>`
    select
      ${count(sql`select from outbox`)} as events,
      ${secondsSince(sql`(select occurred_at from outbox order by id limit 1)`)} as event_age_seconds,
      ${count(sql`select from deliveries where status = 'pending'`)} as deliveries,
      ${secondsSince(sql`(
        select min(due.next_attempt_at) from webhooks cross join lateral (
          select next_attempt_at from deliveries
          where organization_id = webhooks.organization_id and webhook_id = webhooks.id and status = 'pending'
          order by next_attempt_at limit 1
        ) as due where paused_at is null and disabled_at is null
      )`)} as delivery_overdue_seconds,
      ${count(sql`select from mails where status = 'pending'`)} as mails,
      (select json_build_object(
        'active', count(*) filter (where disabled_at is null and paused_at is null and failing_since is null),
        'failing', count(*) filter (where disabled_at is null and paused_at is null and failing_since is not null),
        'paused', count(*) filter (where disabled_at is null and paused_at is not null),
        'disabled', count(*) filter (where disabled_at is not null)
      ) from webhooks) as webhooks`.execute(db)
  return rows[0] as Backlog
}
