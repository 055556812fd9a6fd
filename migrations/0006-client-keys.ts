import { type Kysely, sql } from 'kysely'

const statements = [
  // The public members of the keys, or their URL.
  `create table client_keys (
    organization_id uuid not null,
    token_id uuid not null,
    jwks jsonb,
    jwks_uri text,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    primary key (organization_id, token_id),
    foreign key (organization_id, token_id) references tokens on delete cascade,
    check ((jwks is null) <> (jwks_uri is null))
  )`,
  // An assertion names a token but no organization.
  `create index client_keys_by_token on client_keys (token_id)`,

  // Assertions that were used. No foreign key, since a deleted token cannot authenticate.
  `create table client_assertions (
    token_id uuid not null,
    jti_hash bytea not null check (octet_length(jti_hash) = 32),
    expires_at timestamptz not null,
    primary key (token_id, jti_hash)
  )`,
  `create index client_assertions_by_expiry on client_assertions (expires_at)`,
]

export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of statements) await sql.raw(statement).execute(db)
}
