import { type Kysely, sql } from 'kysely'

// Users who own tokens. There is no backfill: an owner of older tokens gets a record, from those tokens, the next time a
// token is created for them or their record is read. Older versions of the service go on creating tokens without one.
const statements = [
  `create table owners (
    organization_id uuid not null references organizations on delete cascade,
    subject text not null,
    email text,
    identity_source text not null check (identity_source in ('internal', 'ldap', 'sso')),
    -- What a directory calls the user.
    external_id text,
    suspended_at timestamptz,
    version integer not null default 1,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    primary key (organization_id, subject)
  )`,
]

export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of statements) await sql.raw(statement).execute(db)
}
