import { sql } from 'kysely'
import type { Db } from '../db/database.ts'
import type { Tables } from '../db/tables.ts'

/** An event, with the members of its token that messages contain. */
export type TakenEvent = Pick<Tables['outbox'], 'eventId' | 'type' | 'organizationId' | 'subject'> & {
  occurredAt: Date
  data: Record<string, unknown>
  /** The key of the organization. */
  organization: string
  token: TokenFacts | null
}

/** The token as it is now. */
export type TokenFacts = {
  name: string
  type: string
  hint: string | null
  owner: string | null
  ownerEmail: string | null
  expiresAt: Date | null
}

/** False if another transaction is taking events. Taken one after the other, the events of a subject stay in order. */
export async function lockOutbox(tx: Db): Promise<boolean> {
  const { rows } = await sql<{ locked: boolean }>`select pg_try_advisory_xact_lock(7664) as locked`.execute(
    tx,
  )
  return rows[0]?.locked ?? false
}

/** Without taking a lock. */
export async function hasEvents(db: Db): Promise<boolean> {
  const { rows } = await sql`select from outbox limit 1`.execute(db)
  return rows.length > 0
}

/** Removes the oldest events; those of organizations that have been deleted are dropped. */
export async function takeEvents(tx: Db, limit: number): Promise<{ events: TakenEvent[]; more: boolean }> {
  const { rows } = await sql<TakenEvent & { name: string | null; tokenType: string } & TokenFacts>`
    with taken as (
      delete from outbox where id in (select id from outbox order by id limit ${limit})
      returning id, event_id, type, organization_id, subject, occurred_at, data
    )
    select taken.event_id, taken.type, taken.organization_id, taken.subject, taken.occurred_at, taken.data,
      organizations.key as organization, tokens.name, tokens.type as token_type, tokens.owner_subject as owner,
      coalesce(owners.email, tokens.owner_email) as owner_email, tokens.expires_at, secret.hint
    from taken
    left join organizations on organizations.id = taken.organization_id
    left join tokens on tokens.organization_id = taken.organization_id
      and tokens.id = case when taken.type like 'token.%' then taken.subject::uuid end
    left join owners on owners.organization_id = tokens.organization_id and owners.subject = tokens.owner_subject
    left join lateral (
      select hint from token_secrets
      where organization_id = tokens.organization_id and token_id = tokens.id and superseded_at is null and lapses_at is null
      limit 1
    ) as secret on true
    order by taken.id`.execute(tx)
  const events = rows
    .filter(({ organization }) => organization !== null)
    .map(({ name, tokenType: type, owner, ownerEmail, expiresAt, hint, ...event }) => ({
      ...event,
      token: name === null ? null : { name, type, hint, owner, ownerEmail, expiresAt },
    }))
  return { events, more: rows.length === limit }
}

export type NewOutboxEvent = Pick<Tables['outbox'], 'eventId' | 'type' | 'organizationId' | 'subject'> & {
  occurredAt: Date
  data: Record<string, unknown>
}

export async function insertOutbox(tx: Db, events: NewOutboxEvent[]): Promise<void> {
  const rows = events.map((event) => ({ ...event, data: JSON.stringify(event.data) }))
  if (rows.length > 0) await tx.insertInto('outbox').values(rows).execute()
}
