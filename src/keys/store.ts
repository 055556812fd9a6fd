import { type Insertable, type RawBuilder, sql, type Updateable } from 'kysely'
import type { Db } from '../db/database.ts'
import type { SigningKey, Tables } from '../db/tables.ts'

/** A signing key, and how many of the tokens that it signed are neither expired nor revoked. */
export type CountedKey = SigningKey & {
  liveTokens: number
  /** The key signed more tokens than are examined, so there may be more live ones. */
  liveTokensMore: boolean
}

/**
 * The maximum number of tokens of a key that are examined: it may have signed millions, and a caller waits for the
 * response.
 */
const mostExamined = 10_000

export type PublishedKey = Pick<SigningKey, 'alg' | 'publicJwk'>

/** Keeps other transactions from rotating, retiring or rewrapping keys until this one ends. */
export async function lockKeys(tx: Db): Promise<void> {
  await sql`select pg_advisory_xact_lock(7663)`.execute(tx)
}

/** In the order in which they sign. */
export async function selectKeys(db: Db): Promise<SigningKey[]> {
  return inOrder(db).execute()
}

export async function selectCountedKeys(db: Db, now: Date): Promise<CountedKey[]> {
  return inOrder(db).select(counts(now)).execute()
}

export async function findCountedKey(db: Db, kid: string, now: Date): Promise<CountedKey | undefined> {
  return inOrder(db).select(counts(now)).where('kid', '=', kid).executeTakeFirst()
}

/** Whether it signed a token that is neither expired nor revoked. Takes longer the more expired ones there are. */
export async function hasLiveTokens(db: Db, kid: string, now: Date): Promise<boolean> {
  const signed = sql`(select organization_id, token_id from token_secrets where signed_by = ${kid})`
  const { rows } = await sql`select ${liveAmong(signed, now)} limit 1`.execute(db)
  return rows.length > 0
}

/** The keys in the JWKS, upcoming ones included. */
export async function selectPublishedKeys(db: Db): Promise<PublishedKey[]> {
  return db
    .selectFrom('signingKeys')
    .select(['alg', 'publicJwk'])
    .where('retiredAt', 'is', null)
    .orderBy('activatesAt', 'desc')
    .execute()
}

/**
 * The key that signs now: the first that has not retired. Its activation time may still be in the future by this
 * instance's clock if the previous keys were retired suddenly.
 */
export async function findSigner(db: Db, now: Date): Promise<SigningKey | undefined> {
  return signers(db, now).executeTakeFirst()
}

/** The same, but the key cannot be retired before the transaction ends. */
export async function holdSigner(tx: Db, now: Date): Promise<SigningKey | undefined> {
  return signers(tx, now).forShare().executeTakeFirst()
}

export async function insertKey(tx: Db, key: Insertable<Tables['signingKeys']>): Promise<void> {
  await tx.insertInto('signingKeys').values(key).execute()
}

export async function updateKey(
  tx: Db,
  kid: string,
  change: Updateable<Tables['signingKeys']>,
): Promise<void> {
  await tx.updateTable('signingKeys').set(change).where('kid', '=', kid).execute()
}

function signers(db: Db, now: Date) {
  return db
    .selectFrom('signingKeys')
    .selectAll()
    .where('retiredAt', 'is', null)
    .where((where) => where.or([where('retiresAt', 'is', null), where('retiresAt', '>', now)]))
    .orderBy('activatesAt')
    .limit(1)
}

function inOrder(db: Db) {
  return db
    .selectFrom('signingKeys')
    .selectAll()
    .orderBy('activatesAt')
    .orderBy('retiresAt', (order) => order.asc().nullsLast())
}

function counts(now: Date) {
  const signed = sql`(select organization_id, token_id from token_secrets where signed_by = signing_keys.kid`
  return [
    sql<number>`(select count(*)::int ${liveAmong(sql`${signed} limit ${mostExamined})`, now)})`.as(
      'liveTokens',
    ),
    sql<boolean>`exists ${signed} offset ${mostExamined})`.as('liveTokensMore'),
  ] as const
}

function liveAmong(secrets: RawBuilder<unknown>, now: Date) {
  return sql`
    from ${secrets} as secrets join tokens
      on tokens.organization_id = secrets.organization_id and tokens.id = secrets.token_id
    where tokens.revoked_at is null and coalesce(tokens.expires_at, 'infinity') > ${now}`
}
