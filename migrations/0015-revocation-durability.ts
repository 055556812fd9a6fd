import { type Kysely, sql } from 'kysely'

// With REVOCATION_DURABILITY, changes that take a credential away wait for a synchronous standby, whatever the role or
// database configures for other commits. Triggers ensure this where the change is made, so that manual changes count
// like those through the API; so does everything that the feed reports about tokens, organizations and types.
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
