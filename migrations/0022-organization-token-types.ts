import { type Kysely, sql } from 'kysely'

// Token types of organizations have a table of their own: versions that know only the platform's take every row of
// `token_types` for one of these. A token keeps the kind of type that it was created with, so that a type of the same name,
// made later, neither changes it nor makes it good again.
const statements = [
  `create table organization_token_types (like token_types including defaults including constraints)`,
  `alter table organization_token_types
    add column organization_id uuid not null references organizations on delete cascade,
    add primary key (organization_id, name)`,

  `alter table tokens
    add column own_type boolean not null default false,
    drop constraint tokens_type_fkey`,
  // In place of the foreign key. Types of an organization that is deleted go with it.
  `create function refuse_deletion_of_used_type() returns trigger language plpgsql as $$
    begin
      if tg_table_name = 'token_types' then
        perform from tokens where type = old.name and not own_type limit 1;
      else
        perform from tokens join organizations on organizations.id = tokens.organization_id
          where organization_id = (to_jsonb(old) ->> 'organization_id')::uuid and type = old.name and own_type limit 1;
      end if;
      if found then
        raise foreign_key_violation using message = format('there are tokens of the type %I', old.name);
      end if;
      return old;
    end $$`,
  ...['token_types', 'organization_token_types'].map(
    (table) => `create trigger ${table}_refuse_deletion before delete on ${table}
      for each row execute function refuse_deletion_of_used_type()`,
  ),

  // Only changes that answers contain, since an organization changes its types without the platform.
  `create function announce_organization_type_change() returns trigger language plpgsql as $$
    begin
      perform announce_secret(hash) from (
        select token_secrets.hash from tokens
        join token_secrets on token_secrets.organization_id = tokens.organization_id and token_secrets.token_id = tokens.id
        where tokens.organization_id = old.organization_id and tokens.type = old.name and tokens.own_type
          and tokens.revoked_at is null
        limit 101
      ) as secrets;
      return null;
    end $$`,
  `create trigger organization_token_types_announce_change after update on organization_token_types for each row
    when ((old.suspended_at, old.endpoint, old.name) is distinct from (new.suspended_at, new.endpoint, new.name))
    execute function announce_organization_type_change()`,
  `create trigger organization_token_types_announce_static_secret after insert or update or delete
    on organization_token_types for each statement execute function announce_static_secret()`,
  `create trigger organization_token_types_announce_truncate after truncate on organization_token_types
    for each statement execute function announce_all()`,

  `create function note_organization_type_change() returns trigger language plpgsql as $$
    begin
      insert into revocations (reason, organization_id, organization_key, type)
        select case when tg_op = 'DELETE' then 'deleted'
            when old.suspended_at is null and new.suspended_at is not null then 'suspended' else 'changed' end,
          id, key, old.name
        from organizations where id = old.organization_id;
      return null;
    end $$`,
  `create trigger organization_token_types_note_change after update on organization_token_types for each row
    when ((old.suspended_at is null and new.suspended_at is not null)
      or (old.default_scopes, old.audience) is distinct from (new.default_scopes, new.audience))
    execute function note_organization_type_change()`,
  `create trigger organization_token_types_note_deletion after delete on organization_token_types
    for each row execute function note_organization_type_change()`,
  `create trigger organization_token_types_note_truncate after truncate on organization_token_types
    for each statement execute function note_reset()`,
]

export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of statements) await sql.raw(statement).execute(db)
}
