import { type Kysely, sql } from 'kysely'

const statements = [
  `update token_types set allowed_scopes = array_append(allowed_scopes, 'leaks:report') where name = 'management'`,

  // Secrets of deleted tokens, so that one that leaks later is recognized.
  `create table deleted_secrets (
    hash bytea primary key check (octet_length(hash) = 32),
    organization_id uuid not null references organizations on delete cascade,
    token_id uuid not null,
    secret_id uuid not null,
    token_name text not null,
    hint text not null,
    deleted_at timestamptz not null
  )`,
  `create index deleted_secrets_by_deletion on deleted_secrets (deleted_at)`,

  // Reports stay when their token is deleted.
  `create table leak_reports (
    organization_id uuid not null references organizations on delete cascade,
    id uuid not null,
    hash bytea not null check (octet_length(hash) = 32),
    token_id uuid not null,
    token_name text not null,
    secret_id uuid not null,
    hint text not null,
    secret_status text not null,
    reaction text not null,
    source text not null,
    url text,
    reported_by json not null,
    reported_at timestamptz not null,
    last_reported_at timestamptz not null,
    times bigint not null default 1,
    primary key (organization_id, id)
  )`,
  // The same place is reported repeatedly. Hashed, because an index entry is limited to 2,704 bytes.
  `create unique index leak_reports_by_place on leak_reports (organization_id, hash, md5(source || ' ' || coalesce(url, '')))`,
]

export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of statements) await sql.raw(statement).execute(db)
}
