import { type Kysely, sql } from 'kysely'

// The triggers of a statement that changes many secrets, such as concurrent rotations that are stored together, run
// once for all of its rows. As before, they announce a change to all instances and add it to the revocation feed.
const note = (reason: string) => `
      insert into revocations (reason, organization_id, organization_key, type, audience, token_id, hash)
        select '${reason}', tokens.organization_id, organizations.key, tokens.type, tokens.audience, tokens.id, before.hash
        from before
        -- Without the token it is the token's deletion, which has told of it.
        join tokens on tokens.organization_id = before.organization_id and tokens.id = before.token_id
        join organizations on organizations.id = tokens.organization_id`

const statements = [
  `drop trigger token_secrets_announce_change on token_secrets`,
  `drop trigger token_secrets_note_change on token_secrets`,
  `drop function announce_secret_change()`,
  `drop function note_secret_change()`,

  // Past a hundred secrets announce_secret announces 'all', so there is no need to look at more.
  `create function tell_secret_insert() returns trigger language plpgsql as $$
    begin
      perform announce_secret(hash) from after limit 101;
      return null;
    end $$`,
  `create trigger token_secrets_tell_insert after insert on token_secrets
    referencing new table as after for each statement execute function tell_secret_insert()`,
  `create function tell_secret_update() returns trigger language plpgsql as $$
    begin
      perform announce_secret(hash) from (select hash from before union select hash from after limit 101) as changed;
      ${note('changed')};
      return null;
    end $$`,
  `create trigger token_secrets_tell_update after update on token_secrets
    referencing old table as before new table as after for each statement execute function tell_secret_update()`,
  `create function tell_secret_delete() returns trigger language plpgsql as $$
    begin
      perform announce_secret(hash) from before
        where current_setting('counterfoil.deleting_organization', true) is distinct from organization_id::text
        limit 101;
      ${note('secret_ended')};
      return null;
    end $$`,
  `create trigger token_secrets_tell_delete after delete on token_secrets
    referencing old table as before for each statement execute function tell_secret_delete()`,

  // A rotation gives its token another version; what it changes for the secrets is announced with them.
  `create or replace function announce_token_change() returns trigger language plpgsql as $$
    begin
      new.last_used_at := old.last_used_at;
      new.last_used_ip := old.last_used_ip;
      new.version := old.version;
      new.updated_at := old.updated_at;
      if new is distinct from old then
        perform announce_secret(hash) from token_secrets
          where organization_id = old.organization_id and token_id = old.id;
      end if;
      return null;
    end $$`,

  // The first revocation of a transaction has all of them numbered when it commits, in one statement that reads only
  // the rows since then.
  `create or replace function number_revocations() returns trigger language plpgsql as $$
    begin
      perform pg_advisory_xact_lock(7662, 9);
      update revocations set position = nextval('revocation_positions'), at = clock_timestamp()
        where id >= new.id and position is null;
      perform set_config('counterfoil.numbering', 'off', true);
      return null;
    end $$`,
  `drop trigger revocations_number on revocations`,
  `create constraint trigger revocations_number after insert on revocations deferrable initially deferred
    for each row when (case current_setting('counterfoil.numbering', true) when 'on' then false
      else set_config('counterfoil.numbering', 'on', true) = 'on' end) execute function number_revocations()`,
]

export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of statements) await sql.raw(statement).execute(db)
}
