import { type Kysely, sql } from 'kysely'

// token_secrets has the secrets that are or may become good, superseded_secrets those that were. An instance of an
// earlier version accepts every secret in token_secrets, so a secret leaves the table when it ends; the triggers on
// token_secrets then announce it to all instances and to the revocation feed.
const statements = [
  `alter table token_secrets
    -- Null: the token's first secret, which has the id of the token.
    add column id uuid,
    -- Null: the current secret, or a pending one.
    add column superseded_at timestamptz,
    add column valid_until timestamptz,
    -- Of a pending secret, until it is first used: when it lapses, and what its first use does.
    add column lapses_at timestamptz,
    add column overlap_seconds integer,
    -- Null: the token's expiry is kept; infinity: the token never expires.
    add column new_expires_at timestamptz`,
  `create index token_secrets_by_end on token_secrets (coalesce(valid_until, lapses_at))
    where coalesce(valid_until, lapses_at) is not null`,

  `create table superseded_secrets (
    hash bytea primary key check (octet_length(hash) = 32),
    organization_id uuid not null,
    token_id uuid not null,
    id uuid not null,
    hint text not null,
    created_at timestamptz not null,
    superseded_at timestamptz not null,
    valid_until timestamptz not null,
    reused_at timestamptz,
    reused_ip inet,
    foreign key (organization_id, token_id) references tokens on delete cascade
  )`,
  `create index superseded_secrets_by_token on superseded_secrets (organization_id, token_id)`,
  `create index superseded_secrets_by_end on superseded_secrets (valid_until)`,

  // Secrets of tokens that were rotated. Before its first rotation a token has a single secret, whose uses are those of
  // the token, so that most uses are written once.
  `create table secret_uses (
    organization_id uuid not null,
    token_id uuid not null,
    secret_id uuid not null,
    first_used_at timestamptz,
    last_used_at timestamptz,
    last_used_ip inet,
    use_count bigint not null default 0,
    primary key (organization_id, token_id, secret_id),
    foreign key (organization_id, token_id) references tokens on delete cascade
  )`,
  // Null with a last use: first used before this was recorded.
  `alter table token_uses add column first_used_at timestamptz`,

  // Null: the token's first secret.
  `alter table status_list_entries add column secret_id uuid`,
  `alter table token_types add column self_rotation boolean not null default false`,
]

export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of statements) await sql.raw(statement).execute(db)
}
