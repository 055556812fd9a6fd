import { type Kysely, sql } from 'kysely'

// What takes a credential away waits for a synchronous standby, if REVOCATION_DURABILITY asks for it, whatever the role
// or the database has set for other commits. Triggers see to it where the change is made, so that a change by hand counts
// like one through the API; what the feed tells of is all that happens to tokens, their organizations and types.
const statements = [
  `alter table installation
    add column revocation_durability text not null default 'local' check (revocation_durability in ('local', 'remote'))`,
  `create function wait_for_standby() returns trigger language plpgsql as $$
    begin
      if current_setting('synchronous_commit') <> 'remote_apply'
        and (select revocation_durability = 'remote' from installation) then
        perform set_config('synchronous_commit', 'on', true);
      end if;
      return null;
    end $$`,
  `create trigger revocations_wait_for_standby after insert on revocations
    for each statement execute function wait_for_standby()`,
  ...['client_keys', 'trusted_issuers'].map(
    (table) =>
      `create trigger ${table}_wait_for_standby after update or delete on ${table}
        for each statement execute function wait_for_standby()`,
  ),
]

export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of statements) await sql.raw(statement).execute(db)
}
