import { type Kysely, sql } from 'kysely'

const statements = [
  `alter table token_types add column status_list boolean not null default false`,

  // No foreign keys to organizations and tokens: JWTs outlive them, and are then reported as invalid.
  `create table status_lists (
    id uuid primary key,
    organization_id uuid not null,
    size integer not null check (size % 8 = 0),
    -- How many tokens it will still take.
    free integer not null check (free >= 0),
    created_at timestamptz not null
  )`,
  // At any time an organization has one list that is being filled.
  `create unique index status_lists_open on status_lists (organization_id) where free > 0`,

  // An index is assigned to one token and never reused.
  `create table status_list_entries (
    list_id uuid not null references status_lists,
    idx integer not null check (idx >= 0),
    token_id uuid not null,
    primary key (list_id, idx)
  )`,
]

export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of statements) await sql.raw(statement).execute(db)
}
