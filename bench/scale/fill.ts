import pg from 'pg'
import { progress } from '../progress.ts'
import { prepare, type Seeded } from '../seed.ts'

/** The contents of a database. The organization `bench` has a fifth of the tokens, 400 others share the rest. */
export type Filled = { seeded: Seeded; tokens: number; bytes: TableBytes[] }
export type TableBytes = { name: string; heap: number; index: number }

const tables = ['tokens', 'token_secrets', 'token_uses', 'audit_events', 'revocations', 'owners'] as const

/** The owner of a thousand tokens of the organization, regardless of its size: they are revoked together. */
export const leaver = 'leaver'

/**
 * Fills a new database by SQL: through the service it would take hours. Indexes and foreign keys are made afterwards,
 * which is many times faster than adding to them row by row.
 */
export async function fill(url: string, tokens: number): Promise<Filled> {
  progress(`filling a database with ${tokens.toLocaleString('en')} tokens`)
  const seeded = await prepare(url)
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  const run = async (statements: string[]) => {
    for (const statement of statements) await client.query(statement)
  }
  try {
    await client.query("set synchronous_commit = off; set maintenance_work_mem = '512MB'; set jit = off")
    const { rows } = await client.query(indexesAndForeignKeys, [tables])
    const triggers = (what: string) => tables.map((table) => `alter table ${table} ${what} trigger user`)
    // No cache has to be notified of these rows.
    await run(triggers('disable'))
    await run(rows.map(({ removal }) => removal))
    await run(statementsOf(seeded.organizationId, tokens))
    progress('making the indexes')
    await run(rows.map(({ creation }) => creation))
    await run(triggers('enable'))
    await client.query(`vacuum analyze ${tables.join(', ')}, organizations`)
    return { seeded, tokens, bytes: await bytesOf(client) }
  } finally {
    await client.end()
  }
}

const indexesAndForeignKeys = `
  select format('drop index %s', indexrelid::regclass) as removal, pg_get_indexdef(indexrelid) as creation, 1 as position
  from pg_index
  where indrelid = any($1::regclass[]) and not exists (select from pg_constraint where conindid = indexrelid)
  union all
  select format('alter table %s drop constraint %I', conrelid::regclass, conname),
    format('alter table %s add constraint %I %s', conrelid::regclass, conname, pg_get_constraintdef(oid)), 2
  from pg_constraint where conrelid = any($1::regclass[]) and contype = 'f'
  order by position`

async function bytesOf(client: pg.Client): Promise<TableBytes[]> {
  const { rows } = await client.query(
    `
    select relation.relname as name, pg_table_size(relation.oid)::float8 as heap, 0::float8 as index from pg_class as relation
    where relation.oid = any($1::regclass[])
    union all
    select relation.relname || ': ' || made.relname, 0, pg_relation_size(made.oid)::float8
    from pg_index join pg_class as made on made.oid = indexrelid join pg_class as relation on relation.oid = indrelid
    where relation.oid = any($1::regclass[])
    order by 1`,
    [tables],
  )
  return rows
}

/**
 * Tokens made at regular intervals during the last two years: three quarters for 90 days, a tenth of all revoked, a third
 * never used, a hundredth not valid yet. A tenth belongs to one owner, a twentieth has one name.
 */
function statementsOf(organizationId: string, tokens: number): string[] {
  return [
    `insert into organizations (id, key, name, created_at, updated_at)
     select gen_random_uuid(), 'small-' || n, 'Small', now(), now() from generate_series(1, 400) n`,
    `insert into token_types
       (name, prefix, carries_organization, format, default_scopes, audience, created_at, updated_at)
     values ('rare', 'rare', false, 'opaque', '{}', '{}', now(), now())`,
    `insert into tokens (organization_id, id, type, name, comment, owner_subject, owner_email, owner_source, scopes,
       audience, metadata, not_before, expires_at, revoked_at, revoked_by, created_at, created_by, updated_at)
     select organizations.id,
       (lpad(to_hex((extract(epoch from at) * 1000)::bigint), 12, '0') || '7' || substr(md5(i::text), 1, 3) || '8' ||
         substr(md5(i::text), 4, 15))::uuid,
       case when i % 5000 = 0 then 'rare' else 'api' end,
       case when i % 20 = 1 then 'Deploy' else 'Token ' || md5(i::text) end,
       case when i % 10 = 2 then 'For the nightly build' end, owner, owner || '@example.com',
       case when owner is not null then 'internal' end, '{read,write}', '{https://api.example.com}',
       case when i % 10 = 3 then json_build_object('team', 'team-' || i % 1000) else '{}' end,
       case when i % 100 = 4 then now() + interval '30 days' end,
       case when i % 4 > 0 then at + interval '90 days' end,
       case when i % 10 = 5 then at + interval '1 day' end,
       case when i % 10 = 5 then json '{"type":"system","id":"bench","name":"Benchmark"}' end,
       at, '{"type":"system","id":"bench","name":"Benchmark"}', at
     from generate_series(1, ${tokens}) i
     join organizations on organizations.key = case when i % 5 = 0 then 'bench' else 'small-' || 1 + i % 400 end
     cross join lateral (select
       now() - i * interval '730 days' / ${tokens} as at,
       case when i / 5 < 1000 and i % 5 = 0 then '${leaver}' when i / 5 % 10 = 1 then 'robot'
         when i / 5 % 3 > 0 then 'user-' || i % 50000 end as owner) as drawn
     offset 0`,
    `insert into token_secrets (organization_id, token_id, hash, hint, created_at)
     select organization_id, id, sha256(id::text::bytea), 'api_…abcd', created_at from tokens where type <> 'management'`,
    `insert into token_uses (organization_id, token_id, last_used_at, last_used_ip, use_count, first_used_at)
     select organization_id, id, case when used then created_at + 40 * random() * interval '1 day' end,
       case when used then '192.0.2.1'::inet end, case when used then 100 else 0 end, case when used then created_at end
     from (select *, substr(id::text, 16, 1) < 'a' as used from tokens) as tokens
     where type <> 'management'`,
    `insert into audit_events (organization_id, id, occurred_at, actor, action, target_type, target_id, target_name,
       changes, request_id)
     select organization_id, id, created_at, created_by, 'token.created', 'token', id::text, name,
       '{"before":{},"after":{"scopes":["read","write"],"audience":["https://api.example.com"]}}', 'bench' from tokens
     where type <> 'management'`,
    // Older ones would be deleted by the service.
    `insert into revocations (position, reason, organization_id, organization_key, type, audience, token_id, hash, at)
     select nextval('revocation_positions'), 'revoked', tokens.organization_id, 'bench', type, audience, tokens.id,
       sha256(tokens.id::text::bytea), now()
     from tokens where revoked_at is not null order by revoked_at`,
    `insert into owners (organization_id, subject, email, identity_source, created_at, updated_at)
     select organization_id, owner_subject, min(owner_email), 'internal', now(), now() from tokens
     where owner_subject is not null group by organization_id, owner_subject`,
    `update organizations set policy = '{"rotation":{"every_days":60}}' where id = '${organizationId}'`,
  ]
}
