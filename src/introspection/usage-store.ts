import { sql } from 'kysely'
import type { Db } from '../db/database.ts'
import type { HashText } from '../tokens/secret.ts'
import type { Use } from './use.ts'

export type UsedSecret = Use & { hash: HashText }

/**
 * Adds to what is recorded and lowers nothing; gives back what could not be written now. It waits for no row that
 * somebody else is changing, so that neither changes nor other instances can come to a deadlock with it. Secrets that
 * are gone are left out, and tokens without a row of uses. When a token was used last moves once a minute, or with its
 * address: it is sorted by, so that every index of its row has to be written then.
 */
export async function recordUses(db: Db, uses: UsedSecret[]): Promise<UsedSecret[]> {
  const { rows } = await sql<{ hash: HashText }>`
    with used as (
      select * from unnest(
        ${uses.map(({ hash }) => Buffer.from(hash, 'base64'))}::bytea[],
        ${uses.map(({ usedAt }) => new Date(usedAt))}::timestamptz[],
        ${uses.map(({ uses: count }) => count)}::bigint[],
        ${uses.map(({ usedFrom }) => usedFrom)}::inet[]
      ) as used (hash, at, count, ip)
    ), locked as (
      select used.*, organization_id, token_id
      from used join token_secrets using (hash) join token_uses using (organization_id, token_id)
      for no key update of token_secrets, token_uses skip locked
    ), written as (
      update token_secrets
      set use_count = use_count + locked.count, last_used_at = greatest(token_secrets.last_used_at, locked.at)
      from locked
      where token_secrets.hash = locked.hash
    ), latest as (
      select organization_id, token_id, max(at) as at,
        (array_agg(ip order by at desc) filter (where ip is not null))[1] as ip
      from locked group by organization_id, token_id
    ), noted as (
      update token_uses
      set last_used_ip = case when at >= coalesce(last_used_at, at) then coalesce(ip, last_used_ip) else last_used_ip end,
        last_used_at = greatest(last_used_at, at)
      from latest
      where token_uses.organization_id = latest.organization_id and token_uses.token_id = latest.token_id
        and (last_used_at is null or at >= last_used_at + interval '1 minute' or
          (ip is not null and ip is distinct from last_used_ip))
    )
    select encode(hash, 'base64') as hash
    from used join token_secrets using (hash) join token_uses using (organization_id, token_id)
    where hash not in (select hash from locked)`.execute(db)
  const missed = new Set(rows.map(({ hash }) => hash))
  return uses.filter(({ hash }) => missed.has(hash))
}
