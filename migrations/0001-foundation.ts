import { type Kysely, sql } from 'kysely'

const statements = [
  `create table organizations (
    id uuid primary key,
    key text not null unique,
    name text not null,
    suspended_at timestamptz,
    version integer not null default 1,
    created_at timestamptz not null,
    updated_at timestamptz not null
  )`,

  `create table token_types (
    name text primary key,
    description text,
    prefix text not null,
    carries_organization boolean not null,
    format text not null check (format in ('opaque')),
    allowed_scopes text[],
    default_scopes text[] not null,
    audience text[] not null,
    endpoint text,
    suspended_at timestamptz,
    version integer not null default 1,
    created_at timestamptz not null,
    updated_at timestamptz not null
  )`,

  `create table tokens (
    organization_id uuid not null references organizations on delete cascade,
    id uuid not null,
    type text not null references token_types,
    name text not null,
    comment text,
    owner_subject text,
    owner_email text,
    owner_source text check (owner_source in ('internal', 'ldap', 'sso')),
    scopes text[] not null,
    audience text[] not null,
    metadata jsonb not null,
    not_before timestamptz,
    expires_at timestamptz,
    revoked_at timestamptz,
    revoked_by jsonb,
    revoked_reason text,
    last_used_at timestamptz,
    last_used_ip inet,
    version integer not null default 1,
    created_at timestamptz not null,
    created_by jsonb not null,
    updated_at timestamptz not null,
    primary key (organization_id, id),
    check ((owner_subject is null) = (owner_source is null))
  )`,
  `create index tokens_by_name on tokens (organization_id, lower(name), id)`,
  `create index tokens_by_expiry on tokens (organization_id, coalesce(expires_at, 'infinity'), id)`,
  `create index tokens_by_owner on tokens (organization_id, owner_subject, id) where owner_subject is not null`,
  `create index tokens_by_type on tokens (type)`,

  `create table token_secrets (
    hash bytea primary key check (octet_length(hash) = 32),
    organization_id uuid not null,
    token_id uuid not null,
    hint text not null,
    created_at timestamptz not null,
    foreign key (organization_id, token_id) references tokens on delete cascade
  )`,
  `create index token_secrets_by_token on token_secrets (organization_id, token_id)`,

  // No foreign keys: the log outlives what it describes.
  `create table audit_events (
    organization_id uuid not null,
    id uuid not null,
    occurred_at timestamptz not null,
    actor jsonb not null,
    action text not null,
    target_type text not null,
    target_id text not null,
    target_name text not null,
    changes jsonb,
    request_id text not null,
    ip inet,
    primary key (organization_id, id)
  )`,
  `create index audit_events_by_target on audit_events (organization_id, target_id, id)`,
  `create index audit_events_by_actor on audit_events (organization_id, (actor ->> 'id'), id)`,
  // A safeguard against defects and careless queries, not against a database superuser.
  `create function refuse_audit_change() returns trigger language plpgsql as
    $$ begin raise exception 'audit_events is append-only'; end $$`,
  `create trigger audit_events_append_only before update or delete or truncate on audit_events
    for each statement execute function refuse_audit_change()`,

  `insert into organizations (id, key, name, created_at, updated_at)
    values ('00000000-0000-7000-8000-000000000000', 'platform', 'Platform', now(), now())`,
  `insert into token_types
    (name, description, prefix, carries_organization, format, allowed_scopes, default_scopes, audience,
     created_at, updated_at)
    values ('management', 'Counterfoil''s own tokens: administrators, scripts and resource servers', 'cfm', false,
      'opaque', '{tokens:read,tokens:write,tokens:own,tokens:introspect,policy:read,policy:write,audit:read,platform:admin}',
      '{}', '{}', now(), now())`,
]

export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of statements) await sql.raw(statement).execute(db)
}
