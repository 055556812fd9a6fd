import { type Kysely, sql } from 'kysely'

// An event is written to `outbox` in the transaction of its change. A dispatcher moves it to `deliveries`, one for each
// webhook that subscribes to it, so the outbox is nearly empty. It has no foreign keys: they would cost every change a lock.
const statements = [
  `create table outbox (
    -- Drawn while the transaction holds the lock of the subject, so events of one subject commit in this order.
    id bigint generated always as identity primary key,
    event_id uuid not null,
    type text not null,
    organization_id uuid not null,
    subject text not null,
    occurred_at timestamptz not null,
    data json not null
  )`,

  `create table webhooks (
    organization_id uuid not null references organizations on delete cascade,
    id uuid not null,
    url text not null,
    description text,
    -- Null: all types.
    events text[],
    signature text not null check (signature in ('hmac', 'ed25519')),
    -- JWKs encrypted under the master key. The previous one signs too until the overlap ends.
    sealed_secret jsonb not null,
    public_key text,
    sealed_previous_secret jsonb,
    previous_public_key text,
    previous_until timestamptz,
    paused_at timestamptz,
    disabled_at timestamptz,
    disabled_reason text,
    -- Since when every attempt has failed, and when that was announced.
    failing_since timestamptz,
    failing_announced_at timestamptz,
    version integer not null default 1,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    primary key (organization_id, id)
  )`,

  `create table deliveries (
    organization_id uuid not null,
    webhook_id uuid not null,
    -- The id of the event, which is sent as webhook-id.
    id uuid not null,
    position bigint generated always as identity,
    type text not null,
    subject text not null,
    occurred_at timestamptz not null,
    body text not null,
    status text not null default 'pending' check (status in ('pending', 'delivered', 'failed')),
    attempts integer not null default 0,
    -- Of a pending delivery; while it is attempted, when another instance may take over.
    next_attempt_at timestamptz,
    attempted_at timestamptz,
    duration_ms integer,
    response_status integer,
    error text,
    primary key (organization_id, webhook_id, id),
    foreign key (organization_id, webhook_id) references webhooks on delete cascade
  )`,
  `create index deliveries_due on deliveries (organization_id, webhook_id, next_attempt_at, position)
    where status = 'pending'`,
  `create index deliveries_by_subject on deliveries (organization_id, webhook_id, subject, position)
    where status = 'pending'`,
  `create index deliveries_by_position on deliveries (organization_id, webhook_id, position)`,
  `create index deliveries_by_age on deliveries (occurred_at)`,
]

export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of statements) await sql.raw(statement).execute(db)
}
