import { type Kysely, sql } from 'kysely'

// Finds the secrets of an organization that are older than its policy allows.
const statements = [
  `create index token_secrets_current on token_secrets (organization_id, created_at, token_id)
    where superseded_at is null and lapses_at is null`,
]

export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of statements) await sql.raw(statement).execute(db)
}
