import { type Kysely, sql } from 'kysely'

// The last migration of the oldest release that can serve from this database. A migration that takes away what a release
// uses sets it to a later one, so that the release does not start any more.
const statements = [`alter table installation add column served_since text not null default '0023-attention'`]

export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of statements) await sql.raw(statement).execute(db)
}
