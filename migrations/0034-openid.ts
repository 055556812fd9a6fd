import { type Kysely, sql } from 'kysely'

// Sign-in to the console by OpenID Connect. A trusted issuer with a `client_id` can be used for it. A session belongs to
// a token or to a user; that of a user keeps the claims of the sign-in, from which the permissions are computed at each
// request. `openid_sign_ins` has the sign-ins that wait for the user to come back from the issuer.
const statements = [
  `alter table trusted_issuers
    add column client_id text,
    add column client_secret jsonb,
    add column scope text not null default 'openid email'`,
  `create index trusted_issuers_for_sign_in on trusted_issuers (organization_id) where client_id is not null`,

  `alter table sessions
    alter column token_id drop not null,
    alter column token_hash drop not null,
    add column issuer_id uuid,
    add column subject text,
    add column claims jsonb,
    add column id_token text,
    add constraint sessions_of_one check (num_nonnulls(token_id, issuer_id) = 1)`,
  `create index sessions_by_user on sessions (issuer_id, subject) where issuer_id is not null`,

  `create table openid_sign_ins (
    hash bytea primary key,
    organization_id uuid not null,
    issuer_id uuid not null,
    return_to text not null,
    expires_at timestamptz not null,
    foreign key (organization_id, issuer_id) references trusted_issuers (organization_id, id) on delete cascade
  )`,
  `create index openid_sign_ins_by_expiry on openid_sign_ins (expires_at)`,
]

export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of statements) await sql.raw(statement).execute(db)
}
