import { type Selectable, sql } from 'kysely'
import type { Db } from '../../db/database.ts'
import { statement } from '../../db/statement.ts'
import type { Tables } from '../../db/tables.ts'
import { type HashText, hashText, type SecretHash } from '../../shared/secret.ts'

type Key = { organizationId: string; id: string }

/** Use of one secret, up to a second ago. */
type SecretUse = {
  /** Null with a last use: first used before this was recorded. */
  firstUsedAt: Date | null
  lastUsedAt: Date | null
  lastUsedIp: string | null
  useCount: number
}

export type LiveSecret = SecretUse & {
  hash: SecretHash
  id: string
  hint: string
  createdAt: Date
  /** Null: current or pending. */
  supersededAt: Date | null
  validUntil: Date | null
  /** Null: not pending. */
  lapsesAt: Date | null
  overlapSeconds: number | null
  newExpiresAt: Date | number | null
}

export type SupersededSecret = SecretUse &
  Omit<Selectable<Tables['supersededSecrets']>, 'hash' | 'organizationId' | 'tokenId'>

const selectByToken = statement<Key, LiveSecret>('token-secrets', (builder, parameter) => {
  // Before its first rotation, the uses of a token's only secret are those of the token.
  const own = (column: string) =>
    sql`case when secret_uses.secret_id is null and token_secrets.id is null
      then token_uses.${sql.ref(column)} else secret_uses.${sql.ref(column)} end`
  return builder
    .selectFrom('tokenSecrets')
    .leftJoin('tokenUses', (join) =>
      join
        .onRef('tokenUses.organizationId', '=', 'tokenSecrets.organizationId')
        .onRef('tokenUses.tokenId', '=', 'tokenSecrets.tokenId'),
    )
    .leftJoin('secretUses', (join) =>
      join
        .onRef('secretUses.organizationId', '=', 'tokenSecrets.organizationId')
        .onRef('secretUses.tokenId', '=', 'tokenSecrets.tokenId')
        .on(sql<boolean>`secret_uses.secret_id = coalesce(token_secrets.id, token_secrets.token_id)`),
    )
    .where('tokenSecrets.organizationId', '=', parameter('organizationId'))
    .where('tokenSecrets.tokenId', '=', parameter('id'))
    .select(['tokenSecrets.hash', 'hint', 'createdAt', 'supersededAt', 'validUntil', 'lapsesAt'])
    .select(['overlapSeconds', 'newExpiresAt'])
    .select(sql<string>`coalesce(token_secrets.id, token_secrets.token_id)`.as('id'))
    .select(sql<Date | null>`${own('first_used_at')}`.as('firstUsedAt'))
    .select(sql<Date | null>`${own('last_used_at')}`.as('lastUsedAt'))
    .select(sql<string | null>`${own('last_used_ip')}`.as('lastUsedIp'))
    .select(sql<number>`(coalesce(${own('use_count')}, 0) + token_secrets.use_count)::float8`.as('useCount'))
    .orderBy('createdAt', 'desc')
    .orderBy(sql`superseded_at is null`, 'desc')
    .orderBy(sql`lapses_at is null`)
    .compile()
})

/** The secrets in token_secrets, the newest first. */
export async function selectLive(db: Db, { organizationId, id }: Key): Promise<LiveSecret[]> {
  return selectByToken(db, { organizationId, id })
}

/** The newest `limit` that have ended and are still kept, the newest first. */
export async function selectSuperseded(
  db: Db,
  { organizationId, id }: Key,
  limit: number,
): Promise<SupersededSecret[]> {
  return db
    .selectFrom('supersededSecrets')
    .leftJoin('secretUses', (join) =>
      join
        .onRef('secretUses.organizationId', '=', 'supersededSecrets.organizationId')
        .onRef('secretUses.tokenId', '=', 'supersededSecrets.tokenId')
        .onRef('secretUses.secretId', '=', 'supersededSecrets.id'),
    )
    .where('supersededSecrets.organizationId', '=', organizationId)
    .where('supersededSecrets.tokenId', '=', id)
    .select(['supersededSecrets.id', 'hint', 'createdAt', 'supersededAt', 'validUntil'])
    .select(['reusedAt', 'reusedIp', 'firstUsedAt', 'lastUsedAt', 'lastUsedIp'])
    .select(sql<number>`coalesce(use_count, 0)::float8`.as('useCount'))
    .orderBy('createdAt', 'desc')
    .orderBy('supersededAt', 'desc')
    .limit(limit)
    .execute()
}

export type NewSecret = {
  hash: SecretHash
  id: string
  hint: string
  signedBy: string | null
  createdAt: Date
  /** Given for a pending secret. */
  pending?: Pending
}

type Pending = {
  lapsesAt: Date | null
  overlapSeconds: number | null
  newExpiresAt: Date | 'infinity' | null
}
type Inserted = Omit<NewSecret, 'pending'> & Pending & { organizationId: string; tokenId: string }

const insert = statement<Inserted, never>('token-secret-insert', (builder, parameter) =>
  sql<never>`
    with made as (
      insert into token_secrets
        (hash, organization_id, token_id, id, hint, signed_by, created_at, lapses_at, overlap_seconds, new_expires_at)
      values (${parameter('hash')}, ${parameter('organizationId')}, ${parameter('tokenId')}, ${parameter('id')},
        ${parameter('hint')}, ${parameter('signedBy')}, ${parameter('createdAt')}, ${parameter('lapsesAt')},
        ${parameter('overlapSeconds')}, ${parameter('newExpiresAt')})
    ), uses as (
      select organization_id, token_id, first_used_at, last_used_at, last_used_ip, use_count from token_uses
      where organization_id = ${parameter('organizationId')} and token_id = ${parameter('tokenId')}
      for update
    )
    insert into secret_uses
      (organization_id, token_id, secret_id, first_used_at, last_used_at, last_used_ip, use_count)
    select organization_id, token_id, token_id, first_used_at, last_used_at, last_used_ip, use_count from uses
    union all
    select ${parameter('organizationId')}::uuid, ${parameter('tokenId')}::uuid, ${parameter('id')}::uuid,
      null, null, null, 0
    on conflict do nothing`.compile(builder),
)

const current: Pending = { lapsesAt: null, overlapSeconds: null, newExpiresAt: null }

/**
 * From now on the uses of the token's secrets are counted one by one. The first secret begins with the uses of the
 * token, which are locked so that none is lost in between.
 */
export async function insertSecret(
  tx: Db,
  { organizationId, id: tokenId }: Key,
  { pending = current, ...secret }: NewSecret,
): Promise<void> {
  await insert(tx, { organizationId, tokenId, ...secret, ...pending })
}

/** Begins or extends an overlap. */
export async function supersede(
  tx: Db,
  hash: SecretHash,
  overlap: { supersededAt: Date; validUntil: Date },
): Promise<void> {
  await tx.updateTable('tokenSecrets').set(overlap).where('hash', '=', hash).execute()
}

/** Turns a pending secret into the current one. */
export async function makeCurrent(tx: Db, hash: SecretHash): Promise<void> {
  await tx
    .updateTable('tokenSecrets')
    .set({ lapsesAt: null, overlapSeconds: null, newExpiresAt: null })
    .where('hash', '=', hash)
    .execute()
}

/** Of a pending secret, which has no uses. */
export async function deleteSecret(tx: Db, { hash, id }: LiveSecret): Promise<void> {
  await sql`
    with gone as (delete from token_secrets where hash = ${hash} returning *)
    delete from secret_uses using gone
    where secret_uses.organization_id = gone.organization_id and secret_uses.token_id = gone.token_id
      and secret_id = ${id}`.execute(tx)
}

const ended = sql`
  insert into superseded_secrets
    (hash, organization_id, token_id, id, hint, created_at, superseded_at, valid_until)
  select hash, organization_id, token_id, coalesce(id, token_id), hint, created_at`

/** No longer good from now on. */
export async function endSecret(tx: Db, hash: SecretHash, now: Date): Promise<void> {
  await sql`
    with gone as (delete from token_secrets where hash = ${hash} returning *)
    ${ended}, coalesce(superseded_at, ${now}), ${now} from gone`.execute(tx)
}

/**
 * Ends overlaps that are over, and pending secrets that lapsed; at most `limit`, and returns how many. Skips tokens that
 * are being changed, which it locks before their secrets, as every change does.
 */
export async function endDue(db: Db, now: Date, limit: number): Promise<number> {
  const { rows } = await sql`
    with due as materialized (
      select hash from token_secrets
      join tokens on tokens.organization_id = token_secrets.organization_id and tokens.id = token_secrets.token_id
      where coalesce(valid_until, lapses_at) <= ${now}
      limit ${limit}
      for no key update of tokens skip locked
    ), gone as (
      delete from token_secrets
      where hash in (select hash from due) and coalesce(valid_until, lapses_at) <= ${now}
      returning *
    ), kept as (
      ${ended}, superseded_at, valid_until from gone where valid_until is not null
    ), uses as (
      delete from secret_uses using gone
      where secret_uses.organization_id = gone.organization_id and secret_uses.token_id = gone.token_id
        and secret_id = gone.id and lapses_at is not null
    )
    select from gone`.execute(db)
  return rows.length
}

/** The token of a secret that is or may become good. */
export async function findTokenOf(db: Db, hash: SecretHash): Promise<Key | undefined> {
  return db
    .selectFrom('tokenSecrets')
    .where('hash', '=', hash)
    .select(['organizationId', 'tokenId as id'])
    .executeTakeFirst()
}

export type Superseded = { hash: HashText; organizationId: string; tokenId: string }

/** Those of the hashes that belong to superseded secrets. */
export async function findSuperseded(db: Db, hashes: HashText[]): Promise<Superseded[]> {
  const found = await db
    .selectFrom('supersededSecrets')
    .where(
      'hash',
      'in',
      hashes.map((hash) => Buffer.from(hash, 'base64') as SecretHash),
    )
    .select(['hash', 'organizationId', 'tokenId'])
    .execute()
  return found.map((one) => ({ ...one, hash: hashText(one.hash) }))
}

/** A superseded secret, whether its token is still used with another one, and the family's last recorded reuse. */
export async function readSuperseded(tx: Db, hash: HashText) {
  return tx
    .selectFrom('supersededSecrets as superseded')
    .where('hash', '=', Buffer.from(hash, 'base64') as SecretHash)
    .select(['id', 'hint', 'supersededAt', 'validUntil'])
    .select((from) => [
      from
        .exists(
          from
            .selectFrom('secretUses')
            .select('secretId')
            .whereRef('secretUses.organizationId', '=', 'superseded.organizationId')
            .whereRef('secretUses.tokenId', '=', 'superseded.tokenId')
            .whereRef('secretUses.secretId', '!=', 'superseded.id')
            .whereRef('secretUses.lastUsedAt', '>=', 'superseded.supersededAt'),
        )
        .as('successorUsed'),
      from
        .selectFrom('supersededSecrets as family')
        .whereRef('family.organizationId', '=', 'superseded.organizationId')
        .whereRef('family.tokenId', '=', 'superseded.tokenId')
        .select((one) => one.fn.max('family.reusedAt').as('reusedAt'))
        .as('lastReusedAt'),
    ])
    .executeTakeFirst()
}

export async function markReused(
  tx: Db,
  hash: HashText,
  reusedAt: Date,
  reusedIp: string | null,
): Promise<void> {
  await tx
    .updateTable('supersededSecrets')
    .set({ reusedAt, reusedIp })
    .where('hash', '=', Buffer.from(hash, 'base64') as SecretHash)
    .execute()
}

/** Deletes superseded secrets that were kept for as long as the policy says; at most `limit`, and returns how many. */
export async function deleteSuperseded(
  db: Db,
  now: Date,
  { usualDays, limit }: { usualDays: number; limit: number },
): Promise<number> {
  const { numAffectedRows } = await sql`
    with old as (
      select superseded_secrets.* from superseded_secrets join organizations on organizations.id = organization_id
      where valid_until < ${now}::timestamptz - make_interval(
        days => coalesce((policy -> 'rotation' ->> 'keep_superseded_days')::integer, ${usualDays}))
      order by valid_until
      limit ${limit}
      for update of superseded_secrets skip locked
    ), uses as (
      delete from secret_uses using old
      where secret_uses.organization_id = old.organization_id and secret_uses.token_id = old.token_id
        and secret_uses.secret_id = old.id
    )
    delete from superseded_secrets using old where superseded_secrets.hash = old.hash`.execute(db)
  return Number(numAffectedRows)
}

/** Deletes the hashes of deleted tokens that were kept for as long as superseded ones; at most `limit`. */
export async function deleteDeleted(
  db: Db,
  now: Date,
  { usualDays, limit }: { usualDays: number; limit: number },
): Promise<number> {
  const { numAffectedRows } = await sql`
    delete from deleted_secrets where hash in (
      select hash from deleted_secrets join organizations on organizations.id = organization_id
      where deleted_at < ${now}::timestamptz - make_interval(
        days => coalesce((policy -> 'rotation' ->> 'keep_superseded_days')::integer, ${usualDays}))
      order by deleted_at
      limit ${limit}
      for update of deleted_secrets skip locked
    )`.execute(db)
  return Number(numAffectedRows)
}
