import { type Selectable, sql } from 'kysely'
import type { Db } from '../../db/database.ts'
import type { NewEvent } from '../../db/events.ts'
import { coalesce } from '../../db/group-commit.ts'
import { statement } from '../../db/statement.ts'
import type { Tables } from '../../db/tables.ts'
import { type HashText, hashText, type SecretHash } from '../../shared/secret.ts'
import { coalescedChange } from '../change-store.ts'
import { type Revisions, rulesInForce } from '../create/rules-store.ts'
import type { Token } from '../store.ts'

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

const selectByTokens = statement<{ asked: string }, LiveSecret & { tokenId: string }>(
  'token-secrets',
  (builder, parameter) => {
    // Before its first rotation, the uses of a token's only secret are those of the token.
    const own = (column: string) =>
      sql`case when secret_uses.secret_id is null and token_secrets.id is null
        then token_uses.${sql.ref(column)} else secret_uses.${sql.ref(column)} end`
    const asked = sql<Key>`json_to_recordset(${parameter('asked')}::json)`
    return builder
      .selectFrom(asked.as<'asked'>(sql`asked(organization_id uuid, id uuid)`))
      .innerJoinLateral(
        (from) =>
          from
            .selectFrom('tokenSecrets')
            .select([
              'organizationId',
              'tokenId',
              'id',
              'hash',
              'hint',
              'createdAt',
              'supersededAt',
              'validUntil',
            ])
            .select(['lapsesAt', 'overlapSeconds', 'newExpiresAt', 'useCount'])
            .whereRef('organizationId', '=', 'asked.organizationId')
            .whereRef('tokenId', '=', 'asked.id')
            // PostgreSQL does not know how few there are, and might otherwise scan the table.
            .offset(0)
            .as('tokenSecrets'),
        (join) => join.onTrue(),
      )
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
      .select(['tokenSecrets.tokenId', 'hash', 'hint', 'createdAt', 'supersededAt', 'validUntil', 'lapsesAt'])
      .select(['overlapSeconds', 'newExpiresAt'])
      .select(sql<string>`coalesce(token_secrets.id, token_secrets.token_id)`.as('id'))
      .select(sql<Date | null>`${own('first_used_at')}`.as('firstUsedAt'))
      .select(sql<Date | null>`${own('last_used_at')}`.as('lastUsedAt'))
      .select(sql<string | null>`${own('last_used_ip')}`.as('lastUsedIp'))
      .select(
        sql<number>`(coalesce(${own('use_count')}, 0) + token_secrets.use_count)::float8`.as('useCount'),
      )
      .orderBy('createdAt', 'desc')
      .orderBy(sql`superseded_at is null`, 'desc')
      .orderBy(sql`lapses_at is null`)
      .compile()
  },
)

async function selectAllLive(db: Db, keys: Key[]): Promise<LiveSecret[][]> {
  const asked = new Map(keys.map(({ organizationId, id }) => [id, { organization_id: organizationId, id }]))
  const secrets = await selectByTokens(db, { asked: JSON.stringify([...asked.values()]) })
  return keys.map(({ id }) => secrets.filter(({ tokenId }) => tokenId === id))
}

/** The secrets in token_secrets, the newest first. */
export async function selectLive(db: Db, key: Key): Promise<LiveSecret[]> {
  const [live = []] = await selectAllLive(db, [key])
  return live
}

/** The same, read together with the secrets for concurrent requests. */
export const findLive = coalesce({ all: selectAllLive, one: selectLive })

/** The newest `limit` that have ended and are still stored, newest first. */
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
  /** Null: not pending. */
  pending: Pending | null
}

type Pending = {
  lapsesAt: Date
  overlapSeconds: number
  newExpiresAt: Date | 'infinity' | null
}

/** The change to a secret. Only a pending one is deleted, since it has no uses. */
export type SecretChange = { hash: SecretHash } & (
  | { becomes: 'overlapping'; supersededAt: Date; validUntil: Date }
  | { becomes: 'superseded'; validUntil: Date }
  | { becomes: 'current' | 'deleted' }
)

const endedColumns = sql`hash, organization_id, token_id, id, hint, created_at, superseded_at, valid_until`

/** Common table expressions that make the changes in the rows of `changes`. */
const changing = sql`
  kept as (
    update token_secrets
    set superseded_at = changes.superseded_at, valid_until = changes.valid_until,
      lapses_at = null, overlap_seconds = null, new_expires_at = null
    from changes
    where token_secrets.hash = changes.hash and becomes in ('current', 'overlapping')
  ), gone as (
    delete from token_secrets using changes
    where token_secrets.hash = changes.hash and becomes in ('superseded', 'deleted')
    returning token_secrets.hash, organization_id, token_id, id, hint, created_at, token_secrets.superseded_at,
      becomes, changes.valid_until as ended_at
  ), ended as (
    insert into superseded_secrets (${endedColumns})
    select hash, organization_id, token_id, coalesce(id, token_id), hint, created_at,
      coalesce(superseded_at, ended_at), ended_at
    from gone where becomes = 'superseded'
  ), unused as (
    delete from secret_uses using gone
    where secret_uses.organization_id = gone.organization_id and secret_uses.token_id = gone.token_id
      and secret_uses.secret_id = gone.id and becomes = 'deleted'
  )`
const changeColumns = sql`hash bytea, becomes text, superseded_at timestamptz, valid_until timestamptz`

const change = statement<{ changes: string }, never>('token-secrets-change', (builder, parameter) =>
  sql<never>`
    with changes as (
      select hash, becomes, superseded_at, valid_until from json_to_recordset(${parameter('changes')}::json) as changes (${changeColumns})
    ), ${changing}
    select`.compile(builder),
)

/** The transaction has locked the token. */
export async function changeSecrets(tx: Db, changes: SecretChange[]): Promise<void> {
  await change(tx, { changes: JSON.stringify(changes.map(changeRow)) })
}

function changeRow(change: SecretChange) {
  return {
    hash: hexOf(change.hash),
    becomes: change.becomes,
    superseded_at: 'supersededAt' in change ? change.supersededAt.toISOString() : null,
    valid_until: 'validUntil' in change ? change.validUntil.toISOString() : null,
  }
}

function hexOf(hash: SecretHash): string {
  return `\\x${hash.toString('hex')}`
}

type StoredRotation = {
  token: Token
  made: NewSecret
  changes: SecretChange[]
  /** Undefined: unchanged. */
  expiresAt: Date | null | undefined
  now: Date
  revisions: Revisions
  event: NewEvent
}

/**
 * A token whose version has changed is not touched. Its secrets need no check: one that has ended since they were read
 * stays so, and every other change of them gives the token another version. From now on the uses of the token's secrets
 * are counted one by one. The first secret begins with the uses of the token, which are locked so that none is lost in
 * between.
 */
const rotate = coalescedChange<ReturnType<typeof rotationRow>>(
  'rotate',
  (locked) => sql`
    ${rulesInForce(locked)}, rotation as materialized (
      select found.row, asked.id, asked.organization_id, asked.updated_at, changes_expiry, expires_at, secret_id, hash,
        hint, signed_by, lapses_at, overlap_seconds, new_expires_at, changes
      from given, json_to_recordset(given.rows) as asked (
        id uuid, organization_id uuid, version integer, updated_at timestamptz, changes_expiry boolean,
        expires_at timestamptz, secret_id uuid, hash bytea, hint text, signed_by text, lapses_at timestamptz,
        overlap_seconds integer, new_expires_at timestamptz, changes json
      )
      cross join lateral (
        select ctid as row from tokens
        where organization_id = asked.organization_id and id = asked.id and version = asked.version
        for no key update ${locked}
      ) as found
      where id in (select id from in_force)
    ), token as (
      update tokens
      set updated_at = rotation.updated_at, version = tokens.version + 1,
        expires_at = case when changes_expiry then rotation.expires_at else tokens.expires_at end
      from rotation where tokens.ctid = rotation.row
      returning tokens.id, tokens.version
    ), changes as (
      select changes.hash, becomes, superseded_at, valid_until
      from rotation cross join json_to_recordset(rotation.changes) as changes (${changeColumns})
    ), ${changing}, new_secret as (
      insert into token_secrets
        (hash, organization_id, token_id, id, hint, signed_by, created_at, lapses_at, overlap_seconds, new_expires_at)
      select hash, organization_id, id, secret_id, hint, signed_by, updated_at, lapses_at, overlap_seconds, new_expires_at
      from rotation
    ), uses as (
      select token_uses.organization_id, token_id, first_used_at, last_used_at, last_used_ip, use_count from rotation
      join token_uses on token_uses.organization_id = rotation.organization_id and token_uses.token_id = rotation.id
      for update of token_uses
    ), uses_by_secret as (
      insert into secret_uses
        (organization_id, token_id, secret_id, first_used_at, last_used_at, last_used_ip, use_count)
      select organization_id, token_id, token_id, first_used_at, last_used_at, last_used_ip, use_count from uses
      union all
      select organization_id, id, secret_id, null, null, null, 0 from rotation
      on conflict do nothing
    )`,
)

/** Stores a rotation with its event, under rules and for a token that were read before. Undefined: they have changed. */
export async function storeRotation(db: Db, rotation: StoredRotation): Promise<Token | undefined> {
  return rotatedToken(rotation, await rotate.coalesced(db, rotationChange(rotation)))
}

/** The same in a transaction that holds the rules and the token. */
export async function storeRotationInTransaction(tx: Db, rotation: StoredRotation): Promise<Token> {
  const rotated = rotatedToken(rotation, await rotate.alone(tx, rotationChange(rotation)))
  if (!rotated) throw new Error('the token changed although the transaction holds it')
  return rotated
}

function rotationChange(rotation: StoredRotation) {
  return { row: rotationRow(rotation), event: rotation.event }
}

function rotationRow({ token, made, changes, expiresAt, now, revisions }: StoredRotation) {
  const { hash, id, hint, signedBy, pending } = made
  return {
    id: token.id,
    organization_id: token.organizationId,
    type: token.type,
    own_type: token.ownType,
    version: token.version,
    updated_at: now.toISOString(),
    changes_expiry: expiresAt !== undefined,
    expires_at: expiresAt?.toISOString() ?? null,
    secret_id: id,
    hash: hexOf(hash),
    hint,
    signed_by: signedBy,
    lapses_at: pending?.lapsesAt.toISOString() ?? null,
    overlap_seconds: pending?.overlapSeconds ?? null,
    new_expires_at: pending && textOf(pending.newExpiresAt),
    changes: changes.map(changeRow),
    ...revisions,
  }
}

function textOf(instant: Date | 'infinity' | null): string | null {
  return instant instanceof Date ? instant.toISOString() : instant
}

function rotatedToken(
  { token, made, expiresAt = token.expiresAt, now }: StoredRotation,
  stored: { version: number } | undefined,
): Token | undefined {
  const rotated = stored && { ...token, version: stored.version, updatedAt: now, expiresAt }
  if (!rotated || made.pending) return rotated
  return { ...rotated, secretId: made.id, secretCreatedAt: now, hint: made.hint, hash: made.hash }
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
      insert into superseded_secrets (${endedColumns})
      select hash, organization_id, token_id, coalesce(id, token_id), hint, created_at, superseded_at, valid_until
      from gone where valid_until is not null
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

/** Deletes superseded secrets whose retention by the policy is over; at most `limit`, and returns how many. */
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

/** Deletes the hashes of deleted tokens after the retention of superseded ones; at most `limit`. */
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
