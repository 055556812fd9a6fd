import { type Insertable, type RawBuilder, sql, type Updateable } from 'kysely'
import type { Db } from '../db/database.ts'
import type { SigningKey, Tables } from '../db/tables.ts'

/** A key, and how many of the tokens it signed are neither expired nor revoked. */
export type CountedKey = SigningKey & { liveTokens: number }

export type PublishedKey = Pick<SigningKey, 'alg' | 'publicJwk'>

/** Keeps other transactions from rotating, retiring or rewrapping keys until this one ends. */
export async function lockKeys(tx: Db): Promise<void> {
  await sql`select pg_advisory_xact_lock(7663)`.execute(tx)
}

/** In the order in which they sign. */
export async function selectKeys(db: Db): Promise<SigningKey[]> {
  return inOrder(db).execute()
}

/** Counting takes longer the more tokens there are, so do not call this under `lockKeys`. */
export async function selectCountedKeys(db: Db, now: Date): Promise<CountedKey[]> {
  return inOrder(db)
    .select(sql<number>`(select count(*)::int ${liveTokens(sql`signing_keys.kid`, now)})`.as('liveTokens'))
    .execute()
}

export async function findCountedKey(db: Db, kid: string, now: Date): Promise<CountedKey | undefined> {
  return db
    .selectFrom('signingKeys')
    .selectAll()
    .select(sql<number>`(select count(*)::int ${liveTokens(kid, now)})`.as('liveTokens'))
    .where('kid', '=', kid)
    .executeTakeFirst()
}

/** Whether it signed a token that is neither expired nor revoked. */
export async function hasLiveTokens(db: Db, kid: string, now: Date): Promise<boolean> {
  const { rows } = await sql`select ${liveTokens(kid, now)} limit 1`.execute(db)
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

function liveTokens(kid: string | RawBuilder<unknown>, now: Date) {
  return sql`
    from token_secrets join tokens
      on tokens.organization_id = token_secrets.organization_id and tokens.id = token_secrets.token_id
    where token_secrets.signed_by = ${kid}
      and tokens.revoked_at is null and coalesce(tokens.expires_at, 'infinity') > ${now}`
}
