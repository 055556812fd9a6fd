import { type Insertable, sql, type Updateable } from 'kysely'
import type { Db } from '../db/database.ts'
import type { SigningKey, Tables } from '../db/tables.ts'

/** A key and how many tokens that it signed are neither expired nor revoked. */
export type CountedKey = SigningKey & { liveTokens: number }

export type PublishedKey = Pick<SigningKey, 'alg' | 'publicJwk'>

/** Until the end of the transaction nobody else rotates, retires or rewraps keys. */
export async function lockKeys(tx: Db): Promise<void> {
  await sql`select pg_advisory_xact_lock(7663)`.execute(tx)
}

/** In the order in which they sign. */
export async function selectKeys(db: Db, now: Date): Promise<CountedKey[]> {
  return db
    .selectFrom('signingKeys')
    .selectAll()
    .select(liveTokens(now).as('liveTokens'))
    .orderBy('activatesAt')
    .orderBy('retiresAt', (order) => order.asc().nullsLast())
    .execute()
}

/** What is in the JWKS, upcoming keys included. */
export async function selectPublishedKeys(db: Db): Promise<PublishedKey[]> {
  return db
    .selectFrom('signingKeys')
    .select(['alg', 'publicJwk'])
    .where('retiredAt', 'is', null)
    .orderBy('activatesAt', 'desc')
    .execute()
}

/**
 * The key that signs now: the first whose time is not over. That of its successors may not have come by this
 * instance's clock when the ones before it are retired all of a sudden.
 */
export async function findSigner(db: Db, now: Date): Promise<SigningKey | undefined> {
  return signers(db, now).executeTakeFirst()
}

/** The same, and it is not retired before the transaction ends. */
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

const liveTokens = (now: Date) => sql<number>`(
  select count(*)::int
  from token_secrets join tokens
    on tokens.organization_id = token_secrets.organization_id and tokens.id = token_secrets.token_id
  where token_secrets.signed_by = signing_keys.kid
    and tokens.revoked_at is null and coalesce(tokens.expires_at, 'infinity') > ${now})`
