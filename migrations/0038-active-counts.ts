import { type Kysely, sql } from 'kysely'

// A limit on the active tokens of an organization must not count them all for each new token. The last count is kept with
// its time, and triggers add what changed since, so that manual changes count like those through the API. The changes are
// rows of their own, since updating one row of the organization would serialize all changes of its tokens; they have the
// expiry of the tokens, since a token that has expired by the time of a count is not in it. quota-store.ts adds them up.
const change = (sign: '' | '-', table: string) => `
      select organization_id, coalesce(expires_at, 'infinity') as expires_at, ${sign}count(*) as change from ${table}
      where revoked_at is null group by 1, 2`

const note = (event: 'insert' | 'update' | 'delete', changes: string, tables: string) => [
  `create function note_active_${event}() returns trigger language plpgsql as $$
    begin
      insert into active_count_changes (organization_id, expires_at, change) ${changes};
      return null;
    end $$`,
  `create trigger tokens_note_active_${event} after ${event} on tokens
    referencing ${tables} for each statement execute function note_active_${event}()`,
]

const statements = [
  // Without a row, the tokens have not been counted yet.
  `create table active_counts (
    organization_id uuid primary key references organizations on delete cascade,
    counted_at timestamptz not null,
    active bigint not null
  )`,
  // No foreign key: the deletion of an organization deletes its tokens, too.
  `create table active_count_changes (
    organization_id uuid not null,
    expires_at timestamptz not null,
    change bigint not null
  )`,
  `create index active_count_changes_by_organization on active_count_changes (organization_id)`,

  ...note('insert', change('', 'after'), 'new table as after'),
  ...note('delete', change('-', 'before'), 'old table as before'),
  ...note(
    'update',
    `
      select organization_id, expires_at, sum(change)
      from (${change('', 'after')} union all ${change('-', 'before')}) as changed
      group by 1, 2 having sum(change) <> 0`,
    'old table as before new table as after',
  ),
  `create function forget_active_counts() returns trigger language plpgsql as
    $$ begin delete from active_counts; delete from active_count_changes; return null; end $$`,
  `create trigger tokens_forget_active_counts after truncate on tokens
    for each statement execute function forget_active_counts()`,
]

export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of statements) await sql.raw(statement).execute(db)
}
