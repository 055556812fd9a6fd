import { type Kysely, sql } from 'kysely'

// The suspension of an owner ends all of their tokens at once, like that of an organization. Past a hundred tokens,
// `announce_secret` announces 'all', so there is no need to look at more. An event of the feed without a token names the
// owner; readers that do not know that member take it as all tokens of the organization.
const statements = [
  `alter table revocations add column owner_subject text`,

  `create function announce_owner_change() returns trigger language plpgsql as $$
    declare
      owner owners := coalesce(new, old);
    begin
      perform announce_secret(hash) from (
        select token_secrets.hash from tokens
        join token_secrets on token_secrets.organization_id = tokens.organization_id and token_secrets.token_id = tokens.id
        where tokens.organization_id = owner.organization_id and tokens.owner_subject = owner.subject
          and tokens.revoked_at is null
        limit 101
      ) as secrets;
      return null;
    end $$`,
  `create trigger owners_announce_insert after insert on owners for each row
    when (new.suspended_at is not null) execute function announce_owner_change()`,
  `create trigger owners_announce_update after update on owners for each row
    when ((old.suspended_at, old.identity_source) is distinct from (new.suspended_at, new.identity_source))
    execute function announce_owner_change()`,
  `create trigger owners_announce_delete after delete on owners for each row
    when (old.suspended_at is not null) execute function announce_owner_change()`,
  `create trigger owners_announce_truncate after truncate on owners
    for each statement execute function announce_all()`,

  `create function note_owner_suspension() returns trigger language plpgsql as $$
    begin
      insert into revocations (reason, organization_id, organization_key, owner_subject)
        select 'suspended', id, key, new.subject from organizations where id = new.organization_id;
      return null;
    end $$`,
  `create trigger owners_note_insert after insert on owners for each row
    when (new.suspended_at is not null) execute function note_owner_suspension()`,
  `create trigger owners_note_suspension after update on owners for each row
    when (old.suspended_at is null and new.suspended_at is not null) execute function note_owner_suspension()`,
]

export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of statements) await sql.raw(statement).execute(db)
}
