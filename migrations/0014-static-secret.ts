import { type Kysely, sql } from 'kysely'

// AUTH_SECRET is not in the database, but the state of its organization and type decides whether it is accepted.
const statements = [
  `create table static_secret_uses (
    organization_id uuid primary key references organizations on delete cascade,
    last_used_at timestamptz not null,
    last_used_ip inet,
    use_count bigint not null
  )`,

  // An update already announces 'all'. Before an organization exists it has no issued tokens, and when it is deleted
  // their secrets are announced one by one, so there is no need to invalidate everything.
  `create function announce_static_secret() returns trigger language plpgsql as
    $$ begin perform pg_notify('counterfoil_changes', 'static-secret'); return null; end $$`,
  ...['organizations', 'token_types'].map(
    (table) =>
      `create trigger ${table}_announce_static_secret after insert or delete on ${table}
        for each statement execute function announce_static_secret()`,
  ),

  // For resource servers that cache answers about AUTH_SECRET, whose scopes and audience are those of its type.
  `create function note_type_change() returns trigger language plpgsql as $$
    begin
      insert into revocations (reason, type)
        values (case tg_op when 'DELETE' then 'deleted' else 'changed' end, old.name);
      return null;
    end $$`,
  `create trigger token_types_note_change after update on token_types for each row
    when (old.default_scopes is distinct from new.default_scopes or old.audience is distinct from new.audience)
    execute function note_type_change()`,
  `create trigger token_types_note_deletion after delete on token_types
    for each row execute function note_type_change()`,
]

export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of statements) await sql.raw(statement).execute(db)
}
