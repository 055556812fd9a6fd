import { type Kysely, sql } from 'kysely'

// The labels of the scopes of a type: a list of objects with `scope`, `label` and `description`.
const statements = ['token_types', 'organization_token_types'].map(
  (table) => `alter table ${table} add column scope_details jsonb not null default '[]'`,
)

export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of statements) await sql.raw(statement).execute(db)
}
