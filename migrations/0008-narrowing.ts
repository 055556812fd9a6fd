import { type Kysely, sql } from 'kysely'

const statements = [
  `alter table tokens
    -- Where it may be used from; null: anywhere. An empty list would make it unusable, so it is not allowed.
    add column allowed_cidrs cidr[] check (cardinality(allowed_cidrs) > 0),
    -- Of a resource server: which of the tokens that it reaches it is meant for; null: all of them.
    add column narrowed_to jsonb check (jsonb_typeof(narrowed_to) = 'object')`,
]

export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of statements) await sql.raw(statement).execute(db)
}
