import { type Kysely, sql } from 'kysely'

// What resource servers with a cache must invalidate, in an order without gaps: see docs/revocation-feed.md. Triggers
// write the rows in the transaction of the change, so that manual changes count like those through the API.
const statements = [
  `create table revocations (
    id bigint generated always as identity primary key,
    -- Null only inside the transaction that makes it.
    position bigint unique,
    at timestamptz not null default clock_timestamp(),
    reason text not null check (reason in ('revoked', 'deleted', 'secret_ended', 'changed', 'suspended', 'reset')),
    -- What is left out says what it is about: a secret, all of an organization, all of a type, or everything.
    organization_id uuid,
    organization_key text,
    type text,
    audience text[],
    token_id uuid,
    hash bytea check (octet_length(hash) = 32)
  )`,
  `create index revocations_unnumbered on revocations (id) where position is null`,
  `create sequence revocation_positions`,
  // There is always a last row, which marks the end of the feed.
  `insert into revocations (reason, position) values ('reset', nextval('revocation_positions'))`,

  // Numbers are assigned at commit, by one transaction at a time, under a lock held until the commit is complete. So
  // when a number is visible, every lower one is visible or never will be. No row lock is awaited under this lock. The
  // first row of a transaction has all of them numbered.
  `create function number_revocations() returns trigger language plpgsql as $$
    begin
      if (select position is null from revocations where id = new.id) then
        perform pg_advisory_xact_lock(7662, 9);
        update revocations set position = nextval('revocation_positions'), at = clock_timestamp()
          where position is null;
      end if;
      return null;
    end $$`,
  `create constraint trigger revocations_number after insert on revocations
    deferrable initially deferred for each row execute function number_revocations()`,

  `create function note_revoked_secrets(organization uuid, token uuid, why text) returns void language sql as $$
    insert into revocations (reason, organization_id, organization_key, type, audience, token_id, hash)
      select why, organizations.id, organizations.key, tokens.type, tokens.audience, tokens.id, token_secrets.hash
      from tokens
      join organizations on organizations.id = tokens.organization_id
      join token_secrets on token_secrets.organization_id = tokens.organization_id
        and token_secrets.token_id = tokens.id
      where tokens.organization_id = organization and tokens.id = token
    $$`,

  // Columns added later count as well.
  `create function note_token_change() returns trigger language plpgsql as $$
    begin
      new.last_used_at := old.last_used_at;
      new.last_used_ip := old.last_used_ip;
      new.name := old.name;
      new.comment := old.comment;
      new.metadata := old.metadata;
      new.version := old.version;
      new.updated_at := old.updated_at;
      if new is distinct from old then
        perform note_revoked_secrets(old.organization_id, old.id,
          case when old.revoked_at is null and new.revoked_at is not null then 'revoked' else 'changed' end);
      end if;
      return null;
    end $$`,
  `create trigger tokens_note_change after update on tokens
    for each row execute function note_token_change()`,

  // Before the deletion, which also deletes its secrets. If a whole organization was deleted first, a single row
  // reports it.
  `create function note_token_deletion() returns trigger language plpgsql as $$
    begin
      perform note_revoked_secrets(old.organization_id, old.id, 'deleted');
      return old;
    end $$`,
  `create trigger tokens_note_deletion before delete on tokens
    for each row execute function note_token_deletion()`,

  `create function note_secret_change() returns trigger language plpgsql as $$
    begin
      if tg_op = 'UPDATE' then
        new.last_used_at := old.last_used_at;
        new.use_count := old.use_count;
        if new is not distinct from old then return null; end if;
      end if;
      -- Without the token it is the token's deletion, which has told of it.
      insert into revocations (reason, organization_id, organization_key, type, audience, token_id, hash)
        select case tg_op when 'DELETE' then 'secret_ended' else 'changed' end,
          tokens.organization_id, organizations.key, tokens.type, tokens.audience, tokens.id, old.hash
        from tokens join organizations on organizations.id = tokens.organization_id
        where tokens.organization_id = old.organization_id and tokens.id = old.token_id;
      return null;
    end $$`,
  `create trigger token_secrets_note_change after update or delete on token_secrets
    for each row execute function note_secret_change()`,

  `create function note_organization_change() returns trigger language plpgsql as $$
    begin
      insert into revocations (reason, organization_id, organization_key)
        values (case tg_op when 'DELETE' then 'deleted' else 'suspended' end, old.id, old.key);
      return null;
    end $$`,
  `create trigger organizations_note_suspension after update on organizations for each row
    when (old.suspended_at is null and new.suspended_at is not null) execute function note_organization_change()`,
  `create trigger organizations_note_deletion after delete on organizations
    for each row execute function note_organization_change()`,

  `create function note_type_suspension() returns trigger language plpgsql as
    $$ begin insert into revocations (reason, type) values ('suspended', old.name); return null; end $$`,
  `create trigger token_types_note_suspension after update on token_types for each row
    when (old.suspended_at is null and new.suspended_at is not null) execute function note_type_suspension()`,

  `create function note_reset() returns trigger language plpgsql as
    $$ begin insert into revocations (reason) values ('reset'); return null; end $$`,
  ...['tokens', 'token_secrets', 'organizations', 'token_types'].map(
    (table) =>
      `create trigger ${table}_note_truncate after truncate on ${table}
        for each statement execute function note_reset()`,
  ),
]

export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of statements) await sql.raw(statement).execute(db)
}
