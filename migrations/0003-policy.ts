import { type Kysely, sql } from 'kysely'

const statements = [
  // What the organization itself says; what it leaves out is the platform's.
  `alter table organizations
    add column policy jsonb not null default '{}',
    add column policy_version integer not null default 1`,

  `alter table token_types add column scopes_required boolean not null default false`,

  // For counting the tokens that still take up a place, past any number of expired and revoked ones. The id is for
  // lists: without it PostgreSQL would sort all that never expire to show a page of them.
  `create index tokens_unrevoked on tokens (organization_id, coalesce(expires_at, 'infinity'), id)
    where revoked_at is null`,
  `create index tokens_unrevoked_by_owner on tokens (organization_id, owner_subject, coalesce(expires_at, 'infinity'))
    where revoked_at is null and owner_subject is not null`,
]

export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of statements) await sql.raw(statement).execute(db)
}
