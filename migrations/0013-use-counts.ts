import { type Kysely, sql } from 'kysely'

// Where last use is written anyway. What was counted of each secret before stays where it is, and versions before go on
// there: of a token's uses in all, one is what was counted then, the other what was since.
const statement = 'alter table token_uses add column use_count bigint not null default 0'

export async function up(db: Kysely<unknown>): Promise<void> {
  await sql.raw(statement).execute(db)
}
