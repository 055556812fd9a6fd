import { type Kysely, sql } from 'kysely'

// Every change that can affect the decision about a secret is announced in the transaction that makes it, so that
// manual changes count like those through the API. Changes are counted per transaction: beyond a hundred secrets, a
// single 'all' replaces further announcements. Columns added later count as well; only the usage statistics, which are
// written every second, are excluded.
const statements = [
  `create function announce_secret(hash bytea) returns void language plpgsql as $$
    declare
      -- A setting of an earlier transaction is an empty text.
      announced integer := coalesce(nullif(current_setting('counterfoil.announced', true), ''), '0')::integer;
    begin
      if announced < 100 then perform pg_notify('counterfoil_changes', encode(hash, 'base64'));
      elsif announced = 100 then perform pg_notify('counterfoil_changes', 'all');
      else return;
      end if;
      perform set_config('counterfoil.announced', (announced + 1)::text, true);
    end $$`,

  `create function announce_token_change() returns trigger language plpgsql as $$
    begin
      new.last_used_at := old.last_used_at;
      new.last_used_ip := old.last_used_ip;
      if new is distinct from old then
        perform announce_secret(hash) from token_secrets
          where organization_id = old.organization_id and token_id = old.id;
      end if;
      return null;
    end $$`,
  `create trigger tokens_announce_change after update on tokens
    for each row execute function announce_token_change()`,

  // Deleting a token deletes its secrets.
  `alter table token_secrets
    add column last_used_at timestamptz,
    add column use_count bigint not null default 0`,
  `create function announce_secret_change() returns trigger language plpgsql as $$
    begin
      if tg_op = 'INSERT' then
        perform announce_secret(new.hash);
      elsif tg_op = 'DELETE' then
        perform announce_secret(old.hash);
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
  `create trigger token_secrets_announce_change after insert or update or delete on token_secrets
    for each row execute function announce_secret_change()`,

  `create function announce_all() returns trigger language plpgsql as
    $$ begin perform pg_notify('counterfoil_changes', 'all'); return null; end $$`,
  `create trigger organizations_announce_change after update on organizations
    for each statement execute function announce_all()`,
  `create trigger token_types_announce_change after update on token_types
    for each statement execute function announce_all()`,
  ...['tokens', 'token_secrets', 'organizations', 'token_types'].map(
    (table) =>
      `create trigger ${table}_announce_truncate after truncate on ${table}
        for each statement execute function announce_all()`,
  ),
]

export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of statements) await sql.raw(statement).execute(db)
}
