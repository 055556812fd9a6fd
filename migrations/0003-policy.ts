import { type Kysely, sql } from 'kysely'

const statements = [
  // The organization's own settings; the platform's apply to the rest.
  `alter table organizations
    add column policy jsonb not null default '{}',
    add column policy_version integer not null default 1`,

  `alter table token_types add column scopes_required boolean not null default false`,

  // For counting active tokens without visiting expired and revoked ones. The id is for lists: without it PostgreSQL
  // would sort all tokens that never expire to show one page.
  `create index tokens_unrevoked on tokens (organization_id, coalesce(expires_at, 'infinity'), id)
    where revoked_at is null`,
  `create index tokens_unrevoked_by_owner on tokens (organization_id, owner_subject, coalesce(expires_at, 'infinity'))
    where revoked_at is null and owner_subject is not null`,
]

export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of statements) await sql.raw(statement).execute(db)
}
