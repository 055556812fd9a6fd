import { type Selectable, sql } from 'kysely'
import type { Db } from '../db/database.ts'
import type { LeakedSecretStatus, LeakReaction, Tables } from '../db/tables.ts'
import type { SecretHash } from '../shared/secret.ts'

export type LeakReport = Omit<Selectable<Tables['leakReports']>, 'hash' | 'times'> & { times: number }

/** A secret that was issued here, good or not. */
export type KnownSecret = {
  hash: SecretHash
  organizationId: string
  tokenId: string
  tokenName: string
  secretId: string
  hint: string
  status: LeakedSecretStatus
}

const columns = [
  'organizationId',
  'id',
  'tokenId',
  'tokenName',
  'secretId',
  'hint',
  'secretStatus',
  'reaction',
  'source',
  'url',
  'reportedBy',
  'reportedAt',
  'lastReportedAt',
] as const satisfies (keyof Tables['leakReports'])[]

/** Those of the hashes that belong to secrets issued here, in one statement. */
export async function findKnown(db: Db, hashes: SecretHash[]): Promise<KnownSecret[]> {
  const { rows } = await sql<KnownSecret>`
    with known as (
      select hash, organization_id, token_id, coalesce(id, token_id) as secret_id, hint,
        case when lapses_at is not null then 'pending' when superseded_at is not null then 'overlapping' else 'current'
        end as status
      from token_secrets where hash = any (${hashes}::bytea[])
      union all
      select hash, organization_id, token_id, id, hint, 'superseded'
      from superseded_secrets where hash = any (${hashes}::bytea[])
    )
    select known.hash, organization_id, token_id, name as token_name, secret_id, hint, status
    from known join tokens using (organization_id) where tokens.id = token_id
    union all
    select hash, organization_id, token_id, token_name, secret_id, hint, 'deleted'
    from deleted_secrets where hash = any (${hashes}::bytea[])`.execute(db)
  return rows
}

/** Makes other reports of the secret wait until the end of the transaction. */
export async function lockReports(tx: Db, { hash }: KnownSecret): Promise<void> {
  await sql`select pg_advisory_xact_lock(hashtextextended(encode(${hash}::bytea, 'hex'), 0))`.execute(tx)
}

/** Whether the secret was reported before, at any place. */
export async function wasReported(tx: Db, { organizationId, hash }: KnownSecret): Promise<boolean> {
  const found = await tx
    .selectFrom('leakReports')
    .where('organizationId', '=', organizationId)
    .where('hash', '=', hash)
    .select('id')
    .limit(1)
    .executeTakeFirst()
  return found !== undefined
}

export type NewReport = {
  id: string
  known: KnownSecret
  reaction: LeakReaction
  source: string
  url: string | null
  reportedBy: string
  reportedAt: Date
}

/** Adds a report, or counts it if the same secret was reported at the same place. */
export async function upsertReport(tx: Db, { known, reportedAt, ...report }: NewReport): Promise<LeakReport> {
  const { status: secretStatus, ...secret } = known
  return tx
    .insertInto('leakReports')
    .values({ ...secret, ...report, secretStatus, reportedAt, lastReportedAt: reportedAt })
    .onConflict((conflict) =>
      conflict
        .expression(sql`organization_id, hash, md5(source || ' ' || coalesce(url, ''))`)
        .doUpdateSet({ lastReportedAt: reportedAt, times: sql`leak_reports.times + 1` }),
    )
    .returning(columns)
    .returning(sql<number>`times::float8`.as('times'))
    .executeTakeFirstOrThrow()
}

export async function findReport(
  db: Db,
  organizationId: string,
  id: string,
): Promise<LeakReport | undefined> {
  return reportsOf(db, organizationId).where('id', '=', id).executeTakeFirst()
}

/** Newest first; one more than `limit` if there are more. `before` is the id of the last report of the previous page. */
export async function selectReports(
  db: Db,
  organizationId: string,
  { token, before, limit }: { token: string | undefined; before: string | undefined; limit: number },
): Promise<LeakReport[]> {
  return reportsOf(db, organizationId)
    .$if(token !== undefined, (query) => query.where('tokenId', '=', token as string))
    .$if(before !== undefined, (query) => query.where('id', '<', before as string))
    .orderBy('id', 'desc')
    .limit(limit + 1)
    .execute()
}

function reportsOf(db: Db, organizationId: string) {
  return db
    .selectFrom('leakReports')
    .where('organizationId', '=', organizationId)
    .select(columns)
    .select(sql<number>`times::float8`.as('times'))
}
