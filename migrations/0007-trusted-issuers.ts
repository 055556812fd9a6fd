import { type Kysely, sql } from 'kysely'

const statements = [
  // Every sign-in looks up an organization and issuer, by the unique index.
  `create table trusted_issuers (
    organization_id uuid not null references organizations on delete cascade,
    id uuid not null,
    name text not null,
    issuer text not null,
    jwks_uri text,
    audience text not null,
    algorithms text[] not null,
    claims jsonb not null,
    default_permissions text[] not null,
    group_permissions jsonb not null,
    version integer not null default 1,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    primary key (organization_id, id),
    unique (organization_id, issuer, audience)
  )`,
]

export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of statements) await sql.raw(statement).execute(db)
}
