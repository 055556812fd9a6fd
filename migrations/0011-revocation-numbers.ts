import { type Kysely, sql } from 'kysely'

const statements = [
  // As before, by one transaction at a time, when it commits and until it has committed, but each row by its id:
  // searching for rows without a number had to visit all rows that had lacked one since the last vacuum, with the lock
  // held.
  `create or replace function number_revocations() returns trigger language plpgsql as $$
    begin
      perform pg_advisory_xact_lock(7662, 9);
      update revocations set position = nextval('revocation_positions'), at = clock_timestamp()
        where id = new.id and position is null;
      return null;
    end $$`,
  `drop index revocations_unnumbered`,
]

export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of statements) await sql.raw(statement).execute(db)
}
