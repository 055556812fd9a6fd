import { type Kysely, sql } from 'kysely'

// Keys keep their case, and no two differ only in it. The "C" collation maps ASCII letters only, in every locale.
const statements = [`create unique index organizations_by_key on organizations (lower(key collate "C"))`]

export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of statements) await sql.raw(statement).execute(db)
}
