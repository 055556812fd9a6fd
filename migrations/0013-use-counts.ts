import { type Kysely, sql } from 'kysely'

// Counted here, where last use is written anyway. Earlier counts per secret stay where they are, and earlier versions
// continue to add to them: a token's total is the sum of both.
const statement = 'alter table token_uses add column use_count bigint not null default 0'

export async function up(db: Kysely<unknown>): Promise<void> {
  await sql.raw(statement).execute(db)
}
