import { type RawBuilder, sql } from 'kysely'
import type { OwnerSource } from '../access/credential.ts'
import type { Db } from './database.ts'

/** The known facts about an owner: from their record or, without one, from their tokens. */
export type KnownOwner = {
  email: string | null
  source: OwnerSource
  isSuspended: boolean
  isRecorded: boolean
}

/** The record of an owner, for a statement that reads more; null if there is none. */
export function recordedOwner(
  organizationId: RawBuilder<string>,
  subject: RawBuilder<string | null>,
): RawBuilder<KnownOwner | null> {
  return sql<KnownOwner | null>`(
    select json_build_object('email', email, 'source', identity_source, 'isSuspended', suspended_at is not null,
      'isRecorded', true)
    from owners where organization_id = ${organizationId} and subject = ${subject})`
}

/** Bounds the cost for an owner with many tokens and no record. */
const mostExamined = 1000

/** The facts in the newest tokens of an owner without a record. A token with the source `sso` takes precedence. */
const factsOfTokens = (organizationId: string, subject: RawBuilder<string>) => sql`
  select owner_email as email, owner_source as source from (
    select owner_email, owner_source, id from tokens
    where organization_id = ${organizationId} and owner_subject = ${subject}
    order by id desc limit ${mostExamined}
  ) as newest order by owner_source = 'sso' desc, id desc limit 1`

export async function ownerByTokens(
  db: Db,
  organizationId: string,
  subject: string,
): Promise<KnownOwner | null> {
  const facts = factsOfTokens(organizationId, sql.val(subject))
  const { rows } = await sql<Pick<KnownOwner, 'email' | 'source'>>`${facts}`.execute(db)
  return rows[0] ? { ...rows[0], isSuspended: false, isRecorded: false } : null
}

/** The owners of these subjects that are known, by subject. */
export async function knownOwners(
  db: Db,
  organizationId: string,
  subjects: string[],
): Promise<Map<string, KnownOwner>> {
  if (subjects.length === 0) return new Map()
  const { rows } = await sql<KnownOwner & { subject: string }>`
    select asked.subject, coalesce(owners.email, facts.email) as email,
      coalesce(owners.identity_source, facts.source) as source, owners.suspended_at is not null as is_suspended,
      owners.subject is not null as is_recorded
    from unnest(${subjects}::text[]) as asked (subject)
    left join owners on owners.organization_id = ${organizationId} and owners.subject = asked.subject
    left join lateral (${factsOfTokens(organizationId, sql.ref('asked.subject'))}) as facts
      on owners.subject is null
    where owners.subject is not null or facts.source is not null`.execute(db)
  return new Map(rows.map(({ subject, ...owner }) => [subject, owner]))
}
