import { type Kysely, sql } from 'kysely'

// The session of a provider's user is checked at the provider as it is used. `provider_tokens` are the tokens for the
// check, encrypted with a key from the cookie. Only one request at a time checks, since a refresh token may be good
// only once. A sign-in in progress is kept in a cookie instead of a table, which strangers could fill.
const statements = [
  `alter table sessions
    add column provider_tokens text,
    add column checked_at timestamptz,
    add column check_claimed_until timestamptz`,
  `alter table openid_sign_ins drop constraint openid_sign_ins_organization_id_issuer_id_fkey`,
  `drop table openid_sign_ins`,
]

export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of statements) await sql.raw(statement).execute(db)
}
