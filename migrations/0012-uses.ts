import { type Kysely, sql } from 'kysely'

// Lists are sorted by last use, so recording it writes to every index of its row: two in this table, instead of eleven.
const statements = [
  `create table token_uses (
    organization_id uuid not null,
    token_id uuid not null,
    last_used_at timestamptz,
    last_used_ip inet,
    primary key (organization_id, token_id),
    foreign key (organization_id, token_id) references tokens on delete cascade
  )`,

  // A row for each token, which lists can be read from. Running instances of earlier versions write to the columns of
  // tokens; a later version drops those columns and their handling here.
  `create function keep_token_use() returns trigger language plpgsql as $$
    begin
      insert into token_uses (organization_id, token_id, last_used_at, last_used_ip)
        values (new.organization_id, new.id, new.last_used_at, new.last_used_ip)
        on conflict (organization_id, token_id) do update
          set last_used_at = excluded.last_used_at, last_used_ip = excluded.last_used_ip
          where token_uses.last_used_at is null or token_uses.last_used_at <= excluded.last_used_at;
      return null;
    end $$`,
  `create trigger tokens_keep_use after insert or update of last_used_at, last_used_ip on tokens
    for each row execute function keep_token_use()`,

  `insert into token_uses (organization_id, token_id, last_used_at, last_used_ip)
    select organization_id, id, last_used_at, last_used_ip from tokens`,
  `create index token_uses_by_time on token_uses (organization_id, coalesce(last_used_at, '-infinity'), token_id)`,
]

export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of statements) await sql.raw(statement).execute(db)
}
