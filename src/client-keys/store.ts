import { type Insertable, sql } from 'kysely'
import type { Db } from '../db/database.ts'
import type { ClientKeys, Tables } from '../db/tables.ts'
import type { HashText } from '../shared/secret.ts'

type Key = { organizationId: string; tokenId: string }

/** The client that an assertion claims to be from: the token by the hash of its current secret, and its keys. */
export type Client = Pick<ClientKeys, 'organizationId' | 'tokenId' | 'jwks' | 'jwksUri'> & { hash: HashText }

export async function findClientKeys(db: Db, { organizationId, tokenId }: Key) {
  return db
    .selectFrom('clientKeys')
    .selectAll()
    .where('organizationId', '=', organizationId)
    .where('tokenId', '=', tokenId)
    .executeTakeFirst()
}

export async function findClient(db: Db, tokenId: string): Promise<Client | undefined> {
  return db
    .selectFrom('clientKeys')
    .innerJoin('tokenSecrets', (join) =>
      join
        .onRef('tokenSecrets.organizationId', '=', 'clientKeys.organizationId')
        .onRef('tokenSecrets.tokenId', '=', 'clientKeys.tokenId')
        .on('tokenSecrets.supersededAt', 'is', null)
        .on('tokenSecrets.lapsesAt', 'is', null),
    )
    .where('clientKeys.tokenId', '=', tokenId)
    .select(['clientKeys.organizationId', 'clientKeys.tokenId', 'jwks', 'jwksUri'])
    .select(sql<HashText>`encode(token_secrets.hash, 'base64')`.as('hash'))
    .orderBy('tokenSecrets.createdAt', 'desc')
    .limit(1)
    .executeTakeFirst()
}

export async function upsertClientKeys(tx: Db, keys: Insertable<Tables['clientKeys']>): Promise<ClientKeys> {
  const { jwks, jwksUri, updatedAt } = keys
  return tx
    .insertInto('clientKeys')
    .values(keys)
    .onConflict((conflict) =>
      conflict.columns(['organizationId', 'tokenId']).doUpdateSet({ jwks, jwksUri, updatedAt }),
    )
    .returningAll()
    .executeTakeFirstOrThrow()
}

export async function deleteClientKeys(tx: Db, { organizationId, tokenId }: Key): Promise<void> {
  await tx
    .deleteFrom('clientKeys')
    .where('organizationId', '=', organizationId)
    .where('tokenId', '=', tokenId)
    .execute()
}

/** False if the assertion was already used, on any instance. */
export async function insertAssertion(
  db: Db,
  assertion: Insertable<Tables['clientAssertions']>,
): Promise<boolean> {
  const inserted = await db
    .insertInto('clientAssertions')
    .values(assertion)
    .onConflict((conflict) => conflict.columns(['tokenId', 'jtiHash']).doNothing())
    .returning('jtiHash')
    .executeTakeFirst()
  return inserted !== undefined
}

/** Deletes at most `limit` rows, skips those that another transaction is deleting, and returns how many it deleted. */
export async function deleteExpiredAssertions(db: Db, now: Date, limit: number): Promise<number> {
  const expired = db
    .selectFrom('clientAssertions')
    .select(['tokenId', 'jtiHash'])
    .where('expiresAt', '<=', now)
    .orderBy('expiresAt')
    .limit(limit)
    .forUpdate()
    .skipLocked()
  const { numAffectedRows } = await sql`
    with expired as materialized (${expired})
    delete from client_assertions as assertion using expired
    where assertion.token_id = expired.token_id and assertion.jti_hash = expired.jti_hash`.execute(db)
  return Number(numAffectedRows)
}
