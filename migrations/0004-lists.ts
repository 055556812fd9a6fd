import { randomBytes } from 'node:crypto'
import { type Kysely, sql } from 'kysely'

const statements = [
  // One index for every sort order, with the id last, so that a page continues exactly where the previous one ended.
  // Collation "C" orders names by their bytes: the same on every server, and usable for prefix searches.
  `create index tokens_by_creation on tokens (organization_id, created_at, id)`,
  `create index tokens_by_name_bytes on tokens (organization_id, (lower(name) collate "C"), id)`,
  `create index tokens_by_use on tokens (organization_id, coalesce(last_used_at, '-infinity'), id)`,

  // One for each filter that can be selective.
  `create index tokens_by_type_creation on tokens (organization_id, type, created_at, id)`,
  `create index tokens_by_owner_creation on tokens (organization_id, owner_subject, created_at, id)
    where owner_subject is not null`,
  `drop index tokens_by_owner`,
  `create index tokens_revoked on tokens (organization_id, created_at, id) where revoked_at is not null`,
  `create index tokens_by_start on tokens (organization_id, not_before, id) where not_before is not null`,

  `alter table audit_events add column on_behalf_of text`,
  `create index audit_events_by_time on audit_events (organization_id, occurred_at, id)`,
  `create index audit_events_by_target_time on audit_events (organization_id, target_id, occurred_at, id)`,
  `drop index audit_events_by_target`,
  `create index audit_events_by_actor_time on audit_events (organization_id, (actor ->> 'id'), occurred_at, id)`,
  `drop index audit_events_by_actor`,
  `create index audit_events_by_action_time on audit_events (organization_id, action, occurred_at, id)`,

  // No plaintext, and nothing that opens the ciphertext: that takes the client's own Idempotency-Key.
  `create table idempotency_keys (
    hash bytea primary key check (octet_length(hash) = 32),
    organization_id uuid not null references organizations on delete cascade,
    fingerprint bytea not null check (octet_length(fingerprint) = 32),
    answer bytea,
    expires_at timestamptz not null
  )`,
  `create index idempotency_keys_by_expiry on idempotency_keys (expires_at)`,
  `create index idempotency_keys_by_organization on idempotency_keys (organization_id)`,

  // What all instances on this database share; one row.
  `create table installation (
    only_row boolean primary key default true check (only_row),
    cursor_key bytea not null check (octet_length(cursor_key) = 32)
  )`,
]

export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of statements) await sql.raw(statement).execute(db)
  await sql`insert into installation (cursor_key) values (${randomBytes(32)})`.execute(db)
}
