import { type Kysely, sql } from 'kysely'

const statements = [
  `create table signing_keys (
    kid text primary key,
    alg text not null check (alg in ('EdDSA', 'ES256', 'RS256')),
    public_jwk jsonb not null,
    -- An encrypted JWK (RFC 7517 section 7); null once it has signed for the last time.
    sealed_private_jwk jsonb,
    created_at timestamptz not null,
    activates_at timestamptz not null,
    retires_at timestamptz check (retires_at >= activates_at),
    retired_at timestamptz
  )`,
  // At any time exactly one key has no successor yet.
  `create unique index signing_keys_last on signing_keys ((true)) where retires_at is null`,

  `alter table token_secrets add column signed_by text references signing_keys`,
  `create index token_secrets_by_signing_key on token_secrets (signed_by) where signed_by is not null`,

  `alter table token_types
    drop constraint token_types_format_check,
    add constraint token_types_format_check check (format in ('opaque', 'jwt'))`,
]

export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of statements) await sql.raw(statement).execute(db)
}
