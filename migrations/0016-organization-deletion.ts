import { type Kysely, sql } from 'kysely'

// Before an organization is deleted, its tokens are, in batches. The feed and every instance know of its suspension, so
// they need not be told about a million inactive tokens: the batch names the organization whose tokens it deletes, and
// holds it, so that it remains suspended.
const statements = [
  `create or replace function note_token_deletion() returns trigger language plpgsql as $$
    begin
      if current_setting('counterfoil.deleting_organization', true) is distinct from old.organization_id::text then
        perform note_revoked_secrets(old.organization_id, old.id, 'deleted');
      end if;
      return old;
    end $$`,
  `create or replace function announce_secret_change() returns trigger language plpgsql as $$
    begin
      if tg_op = 'INSERT' then
        perform announce_secret(new.hash);
      elsif tg_op = 'DELETE' then
        if current_setting('counterfoil.deleting_organization', true) is distinct from old.organization_id::text then
          perform announce_secret(old.hash);
        end if;
      else
        new.last_used_at := old.last_used_at;
        new.use_count := old.use_count;
        if new is distinct from old then
          perform announce_secret(old.hash);
          perform announce_secret(new.hash);
        end if;
      end if;
      return null;
    end $$`,
]

export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of statements) await sql.raw(statement).execute(db)
}
