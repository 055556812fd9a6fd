import { type Kysely, sql } from 'kysely'

// Tokens that were made elsewhere. An instance that has cached the prefixes drops them with this announcement; one of an
// earlier version takes it for the hash of a secret that it does not know.
const statements = [
  // The hash that the token was imported with, even if it was rotated since. Null: the token was created here.
  `alter table tokens add column imported_hash bytea`,

  // The prefixes of imported secrets, which do not have the checksum of our format.
  `create table imported_prefixes (prefix text primary key)`,
  `create function announce_imported_prefix() returns trigger language plpgsql as
    $$ begin perform pg_notify('counterfoil_changes', 'imported-prefixes'); return null; end $$`,
  `create trigger imported_prefixes_announce_change after insert or update or delete on imported_prefixes
    for each row execute function announce_imported_prefix()`,
  `create trigger imported_prefixes_announce_truncate after truncate on imported_prefixes
    for each statement execute function announce_all()`,
]

export const indexes = [
  `create unique index tokens_by_imported_hash on tokens (imported_hash) where imported_hash is not null`,
]

export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of statements) await sql.raw(statement).execute(db)
}
