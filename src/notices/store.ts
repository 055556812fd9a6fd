import { type RawBuilder, sql } from 'kysely'
import type { Db } from '../db/database.ts'
import type { NoticeKind } from '../db/tables.ts'
import type { PolicyDocument } from '../shared/policy.ts'

/** The last token, in the order of time, that notices were sent for. */
export type Position = {
  /** In PostgreSQL's precision, which is finer than that of a Date. */
  at: string
  organizationId: string
  tokenId: string
}

/** A token along the order of time. */
export type Candidate = Position & {
  instant: Date
  name: string
  policy: PolicyDocument
  expiresAt: Date | null
  revokedAt: Date | null
  secretCreatedAt: Date
}

/** Every number of days in the policies of organizations. */
export async function selectOwnDays(db: Db): Promise<Record<NoticeKind, number[]>> {
  const { rows } = await sql<{ kind: NoticeKind; days: number }>`
    select distinct 'expiry' as kind, days::int from organizations,
      jsonb_array_elements_text(coalesce(policy -> 'notifications' -> 'expiry_days', '[]')) as days
    union
    select 'rotation', (policy -> 'rotation' ->> 'every_days')::int from organizations
    where policy -> 'rotation' ->> 'every_days' is not null`.execute(db)
  const of = (kind: NoticeKind) => rows.filter((row) => row.kind === kind).map(({ days }) => days)
  return { expiry: of('expiry'), rotation: of('rotation') }
}

/** Deletes the positions of numbers of days that no policy has any more, and starts those of new ones at `at(days)`. */
export async function keepPositions(
  db: Db,
  kind: NoticeKind,
  days: number[],
  at: (days: number) => Date,
): Promise<void> {
  await db
    .deleteFrom('noticePositions')
    .where('kind', '=', kind)
    .where(sql<boolean>`not days = any(${days}::int[])`)
    .execute()
  if (days.length === 0) return
  await db
    .insertInto('noticePositions')
    .values(days.map((days) => ({ kind, days, at: at(days), organizationId: last, tokenId: last })))
    .onConflict((conflict) => conflict.doNothing())
    .execute()
}

/** After every token of an instant. */
export const last = 'ffffffff-ffff-ffff-ffff-ffffffffffff'

/** Undefined if another instance holds it. */
export async function lockPosition(
  tx: Db,
  kind: NoticeKind,
  days: number,
): Promise<(Position & { instant: Date }) | undefined> {
  return tx
    .selectFrom('noticePositions')
    .select([sql<string>`at::text`.as('at'), 'at as instant', 'organizationId', 'tokenId'])
    .where('kind', '=', kind)
    .where('days', '=', days)
    .forUpdate()
    .skipLocked()
    .executeTakeFirst()
}

export async function movePosition(
  tx: Db,
  kind: NoticeKind,
  days: number,
  { at, organizationId, tokenId }: Position,
): Promise<void> {
  await tx
    .updateTable('noticePositions')
    .set({ at: sql<Date>`${at}::timestamptz`, organizationId, tokenId })
    .where('kind', '=', kind)
    .where('days', '=', days)
    .execute()
}

/** The range to read along the order of time: after a position and up to an instant. */
export type Stretch = { after: Position; until: Date; limit: number }

/** Tokens that are not revoked, in the order of their expiry. */
export async function selectExpiring(tx: Db, { after, until, limit }: Stretch): Promise<Candidate[]> {
  const expiry = sql`coalesce(expires_at, 'infinity')`
  return select(
    tx,
    sql`select expires_at as at, organization_id, id as token_id from tokens
      where revoked_at is null and ${expiry} <= ${until} and (${expiry}, organization_id, id) > ${row(after)}
      order by ${expiry}, organization_id, id limit ${limit}`,
  )
}

/** Current secrets of organizations whose policy has this number of days, in the order of their creation. */
export async function selectAging(
  tx: Db,
  { after, until, limit }: Stretch,
  days: number,
): Promise<Candidate[]> {
  return select(
    tx,
    sql`select secrets.* from organizations cross join lateral (
        select created_at as at, organization_id, token_id from token_secrets
        where organization_id = organizations.id and superseded_at is null and lapses_at is null
          and created_at between ${after.at}::timestamptz and ${until}
          and (created_at, organization_id, token_id) > ${row(after)}
        order by created_at, token_id limit ${limit}
      ) as secrets
      where (policy -> 'rotation' ->> 'every_days')::int = ${days}
      order by at, organization_id, token_id limit ${limit}`,
  )
}

async function select(tx: Db, found: RawBuilder<unknown>): Promise<Candidate[]> {
  const { rows } = await sql<Candidate>`
    select found.at::text as at, found.at as instant, found.organization_id, found.token_id, tokens.name, tokens.expires_at, tokens.revoked_at,
      organizations.policy, secret.created_at as secret_created_at
    from (${found}) as found
    join tokens on tokens.organization_id = found.organization_id and tokens.id = found.token_id
    join organizations on organizations.id = found.organization_id
    join lateral (
      select created_at from token_secrets
      where organization_id = tokens.organization_id and token_id = tokens.id and superseded_at is null
        and lapses_at is null
      limit 1
    ) as secret on true
    order by found.at, found.organization_id, found.token_id`.execute(tx)
  return rows
}

function row({ at, organizationId, tokenId }: Position): RawBuilder<unknown> {
  return sql`(${at}::timestamptz, ${organizationId}::uuid, ${tokenId}::uuid)`
}
