import { type Kysely, sql } from 'kysely'

// Security events of trusted issuers (RFC 8417). `security_events` stores their ids, so that a repeated event has no
// effect. `signalled_at` is the time of the latest event about the account of an owner: an older one that arrives later
// is outdated.
const statements = [
  `create table signal_streams (
    organization_id uuid not null,
    issuer_id uuid not null,
    enabled boolean not null,
    audience text not null,
    jwks_uri text,
    poll_url text,
    poll_authorization jsonb,
    actions jsonb not null,
    received bigint not null default 0,
    duplicates bigint not null default 0,
    unknown_subjects bigint not null default 0,
    last_event_at timestamptz,
    verified_at timestamptz,
    verification_state text,
    poll_at timestamptz not null,
    polled_at timestamptz,
    poll_failures integer not null default 0,
    poll_error text,
    version integer not null default 1,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    primary key (organization_id, issuer_id),
    foreign key (organization_id, issuer_id) references trusted_issuers (organization_id, id) on delete cascade
  )`,
  `create index signal_streams_polled on signal_streams (poll_at) where enabled and poll_url is not null`,
  `create table security_events (
    organization_id uuid not null,
    issuer_id uuid not null,
    jti_hash bytea not null,
    received_at timestamptz not null,
    primary key (organization_id, issuer_id, jti_hash),
    foreign key (organization_id, issuer_id) references signal_streams on delete cascade
  )`,
  `create index security_events_received on security_events (received_at)`,
  `alter table owners add column signalled_at timestamptz`,
  `create index owners_email on owners (organization_id, lower(email)) where email is not null`,
]

export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of statements) await sql.raw(statement).execute(db)
}
