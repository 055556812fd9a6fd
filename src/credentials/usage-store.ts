import { sql } from 'kysely'
import type { Use } from '../access/credential.ts'
import type { Db } from '../db/database.ts'

export type UsedToken = Use & { organizationId: string; tokenId: string; secretId: string }

/**
 * Adds to the recorded uses and never lowers them; returns those that could not be written now. It skips locked rows,
 * so it cannot deadlock with changes or other instances. Tokens that are deleted or have no usage row are left out. A
 * token's last use is updated once a minute or when its address changes, because it is a sort key: every index of its
 * row has to be written. Uses are also recorded by secret once the token was rotated.
 */
export async function recordUses(db: Db, uses: UsedToken[]): Promise<UsedToken[]> {
  const { rows } = await sql<{ tokenId: string }>`
    with used as (
      select * from unnest(
        ${uses.map(({ organizationId }) => organizationId)}::uuid[],
        ${uses.map(({ tokenId }) => tokenId)}::uuid[],
        ${uses.map(({ secretId }) => secretId)}::uuid[],
        ${uses.map(({ usedAt }) => new Date(usedAt))}::timestamptz[],
        ${uses.map(({ uses: count }) => count)}::bigint[],
        ${uses.map(({ usedFrom }) => usedFrom)}::inet[]
      ) as used (organization_id, token_id, secret_id, at, count, ip)
    ), by_token as (
      select organization_id, token_id, max(at) as at, sum(count) as count,
        (array_agg(ip order by at desc) filter (where ip is not null))[1] as ip
      from used group by organization_id, token_id
    ), locked as (
      select by_token.*, last_used_at is null or at >= last_used_at + interval '1 minute' or
        (ip is not null and ip is distinct from last_used_ip) as moves
      from by_token join token_uses using (organization_id, token_id)
      for no key update of token_uses skip locked
    ), written as (
      update token_uses
      set use_count = use_count + count,
        first_used_at = case when last_used_at is null then at else first_used_at end,
        last_used_at = case when moves then greatest(last_used_at, at) else last_used_at end,
        last_used_ip = case when moves and at >= coalesce(last_used_at, at) then coalesce(ip, last_used_ip) else last_used_ip end
      from locked
      where token_uses.organization_id = locked.organization_id and token_uses.token_id = locked.token_id
    ), written_by_secret as (
      update secret_uses
      set use_count = secret_uses.use_count + used.count,
        first_used_at = case when last_used_at is null then used.at else first_used_at end,
        last_used_at = greatest(last_used_at, used.at),
        last_used_ip = case when used.at >= coalesce(last_used_at, used.at) then coalesce(used.ip, last_used_ip) else last_used_ip end
      from used join locked using (organization_id, token_id)
      where secret_uses.organization_id = used.organization_id and secret_uses.token_id = used.token_id
        and secret_uses.secret_id = used.secret_id
    )
    select token_id
    from used join token_uses using (organization_id, token_id)
    where token_id not in (select token_id from locked)`.execute(db)
  const missed = new Set(rows.map(({ tokenId }) => tokenId))
  return uses.filter(({ tokenId }) => missed.has(tokenId))
}

/** The same for AUTH_SECRET: left out if its organization is deleted, returned if the organization is locked. */
export async function recordStaticUses(db: Db, uses: UsedToken[]): Promise<UsedToken[]> {
  const { rows } = await sql<{ organizationId: string }>`
    with used as (
      select * from unnest(
        ${uses.map(({ organizationId }) => organizationId)}::uuid[],
        ${uses.map(({ usedAt }) => new Date(usedAt))}::timestamptz[],
        ${uses.map(({ uses: count }) => count)}::bigint[],
        ${uses.map(({ usedFrom }) => usedFrom)}::inet[]
      ) as used (organization_id, at, count, ip)
    ), locked as (
      select used.* from used join organizations on organizations.id = organization_id
      for key share of organizations skip locked
    ), written as (
      insert into static_secret_uses as known (organization_id, last_used_at, use_count, last_used_ip)
      select * from locked
      on conflict (organization_id) do update
      set use_count = known.use_count + excluded.use_count,
        last_used_at = greatest(known.last_used_at, excluded.last_used_at),
        last_used_ip = case when excluded.last_used_at >= known.last_used_at
          then coalesce(excluded.last_used_ip, known.last_used_ip) else known.last_used_ip end
    )
    select organization_id from used join organizations on organizations.id = organization_id
    where organization_id not in (select organization_id from locked)`.execute(db)
  const missed = new Set(rows.map(({ organizationId }) => organizationId))
  return uses.filter(({ organizationId }) => missed.has(organizationId))
}
