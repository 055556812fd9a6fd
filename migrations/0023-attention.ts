import { type Kysely, sql } from 'kysely'

// For lists of tokens that need attention in all organizations.
const statements = [
  `create index tokens_expiring on tokens (coalesce(expires_at, 'infinity'), organization_id, id)
    where revoked_at is null`,
  `create index token_uses_by_time_anywhere on token_uses (coalesce(last_used_at, '-infinity'), organization_id, token_id)`,
]

export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of statements) await sql.raw(statement).execute(db)
}
