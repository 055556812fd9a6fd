import { type Kysely, sql } from 'kysely'

// Names have up to 1,000 characters, and an entry of a B-tree index up to 2,704 bytes: one index has a hash of the name,
// for equality, and one its start, for the order. PostgreSQL normalizes names that earlier versions did not.
const statements = [
  `drop index tokens_by_name`,
  `create index tokens_by_name_hash on tokens (organization_id, hashtextextended(lower(normalize(name)), 0))`,
  `drop index tokens_by_name_bytes`,
  `create index tokens_by_name_start on tokens (organization_id, (left(lower(name), 200) collate "C"), id)`,
]

export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of statements) await sql.raw(statement).execute(db)
}
