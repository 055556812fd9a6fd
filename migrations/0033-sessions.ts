import { type Kysely, sql } from 'kysely'

// Sessions of the console. Like a token, a session is stored only as the hash of its secret, which is in a cookie. It
// belongs to a token, by the hash of the secret that was presented. There is no foreign key to the token: a session whose
// token is gone ends with its next request.
const statements = [
  `create table sessions (
    id uuid primary key,
    organization_id uuid not null references organizations (id) on delete cascade,
    hash bytea not null unique,
    name text not null,
    token_id uuid not null,
    token_hash bytea not null,
    user_agent text,
    ip text,
    created_at timestamptz not null,
    last_seen_at timestamptz not null,
    expires_at timestamptz not null
  )`,
  `create index sessions_by_time on sessions (created_at, id)`,
  `create index sessions_by_organization on sessions (organization_id, created_at, id)`,
  `create index sessions_by_expiry on sessions (expires_at)`,

  `create table sign_in_links (
    hash bytea primary key,
    token_hash bytea not null,
    expires_at timestamptz not null
  )`,
]

export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of statements) await sql.raw(statement).execute(db)
}
