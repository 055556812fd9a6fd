import type { World } from '../support/world.ts'

/** By table, how many rows were added, or removed if negative; 0 if rows were only changed. */
export type Changes = Record<string, number>

/**
 * Records every change of a row from now on. The returned function gives the changes since it was last called. Recorded
 * uses do not count as a change.
 */
export async function recordChanges({ sql }: Pick<World, 'sql'>): Promise<() => Promise<Changes>> {
  await sql(`
    create schema recorded;
    create unlogged table recorded.changes (name text, added int);
    create function recorded.note() returns trigger language plpgsql as $$
      declare
        uses constant text[] = '{last_used_at,last_used_ip,use_count}';
      begin
        if tg_op <> 'UPDATE' or to_jsonb(old) - uses <> to_jsonb(new) - uses then
          insert into recorded.changes
          values (tg_table_name, case tg_op when 'INSERT' then 1 when 'DELETE' then -1 else 0 end);
        end if;
        return null;
      end $$;
    do $$
      declare name text;
      begin
        for name in select tablename from pg_tables where schemaname = 'public' loop
          execute format('create trigger recorded after insert or update or delete on %I
            for each row execute function recorded.note()', name);
        end loop;
      end $$`)
  return async () => {
    const { rows } = await sql(`
      with taken as (delete from recorded.changes returning *)
      select name, sum(added)::int as added from taken group by name order by name`)
    return Object.fromEntries(rows.map(({ name, added }) => [name, added]))
  }
}
