import { type Kysely, sql } from 'kysely'

// Tokens that expire, and secrets that are due for rotation, are found in the order of time. For each number of days there
// is a position up to which they have been announced. So every token is announced once for each number of days, and a scan
// reads only what has become due since the last one.
const statements = [
  `create table notice_positions (
    kind text not null check (kind in ('expiry', 'rotation')),
    days integer not null,
    at timestamptz not null,
    organization_id uuid not null,
    token_id uuid not null,
    primary key (kind, days)
  )`,

  `create table mails (
    organization_id uuid not null references organizations on delete cascade,
    recipient text not null,
    event_id uuid not null,
    type text not null,
    occurred_at timestamptz not null,
    data jsonb not null,
    status text not null default 'pending' check (status in ('pending', 'sent', 'failed')),
    attempts integer not null default 0,
    next_attempt_at timestamptz not null,
    -- While an instance sends it: when another one may take over.
    claimed_until timestamptz,
    -- The message that it was sent in, which may be a digest of several.
    sent_at timestamptz,
    digest boolean,
    primary key (organization_id, recipient, event_id)
  )`,
  `create index mails_pending on mails (organization_id, recipient, next_attempt_at, claimed_until)
    where status = 'pending'`,
  `create index mails_by_age on mails (occurred_at)`,
]

export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of statements) await sql.raw(statement).execute(db)
}
