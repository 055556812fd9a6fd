import { type Kysely, sql } from 'kysely'

// The change log as a Merkle tree (RFC 9162). A trigger queues events in the transaction that writes them, so that a
// sequencer finds each once it is committed, whenever that is, and so that earlier versions queue theirs too. The queue
// and the trigger lock nothing that another change waits for. Events of before are found by a scan.
const statements = [
  `create table log_queue (
    organization_id uuid not null,
    event_id uuid not null
  )`,
  `create function queue_events() returns trigger language plpgsql as $$
    begin
      insert into log_queue (organization_id, event_id) select organization_id, id from added;
      return null;
    end $$`,
  `create trigger audit_events_queued after insert on audit_events
    referencing new table as added for each statement execute function queue_events()`,

  `create table log_leaves (
    leaf_index bigint primary key,
    organization_id uuid not null,
    event_id uuid not null,
    -- How many events of the organization are before it in the log.
    organization_index bigint not null,
    -- Hides what is in the hash from those who can guess the event.
    salt bytea not null,
    sequenced_at timestamptz not null,
    hash bytea not null check (octet_length(hash) = 32),
    unique (organization_id, event_id)
  )`,
  // The hashes of complete subtrees of 256, 65,536, … leaves, from which tiles are made.
  `create table log_nodes (
    level smallint not null,
    node_index bigint not null,
    hash bytea not null check (octet_length(hash) = 32),
    primary key (level, node_index)
  )`,
  `create table log_organizations (
    organization_id uuid primary key,
    events bigint not null
  )`,
  `create table log_state (
    single boolean primary key default true check (single),
    size bigint not null default 0,
    -- The hashes of the complete subtrees that the tree consists of, the largest first.
    subtrees bytea not null default '',
    -- Up to which event those of before this migration have been scanned; null: all.
    scanned_organization uuid default '00000000-0000-0000-0000-000000000000',
    scanned_event uuid default '00000000-0000-0000-0000-000000000000',
    origin text,
    public_key bytea,
    sealed_private_jwk jsonb,
    checkpoint text,
    checkpoint_size bigint not null default 0,
    checkpoint_at timestamptz,
    -- When a checkpoint was last sent to webhooks, and its size.
    announced_size bigint not null default 0,
    announced_at timestamptz
  )`,
  `insert into log_state default values`,
]

export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of statements) await sql.raw(statement).execute(db)
}
