import { sql } from 'kysely'
import type { Db } from '../db/database.ts'

/**
 * Takes one of the remaining allocations of the list being filled, whose row stays locked until the transaction ends.
 */
export async function takeAllocation(
  tx: Db,
  organizationId: string,
): Promise<{ id: string; size: number } | undefined> {
  return tx
    .updateTable('statusLists')
    .set({ free: sql<number>`free - 1` })
    .where('organizationId', '=', organizationId)
    .where('free', '>', 0)
    .returning(['id', 'size'])
    .executeTakeFirst()
}

/** Waits for a concurrent insert of a list, and then adds none. */
export async function insertList(
  tx: Db,
  list: { id: string; organizationId: string; size: number; free: number; createdAt: Date },
): Promise<void> {
  await tx
    .insertInto('statusLists')
    .values(list)
    .onConflict((conflict) => conflict.column('organizationId').where('free', '>', 0).doNothing())
    .execute()
}

/** False if that index is taken. */
export async function insertEntry(
  tx: Db,
  entry: { listId: string; idx: number; tokenId: string; secretId: string },
): Promise<boolean> {
  const inserted = await tx
    .insertInto('statusListEntries')
    .values(entry)
    .onConflict((conflict) => conflict.columns(['listId', 'idx']).doNothing())
    .returning('idx')
    .executeTakeFirst()
  return inserted !== undefined
}

export async function findList(db: Db, id: string): Promise<{ id: string; size: number } | undefined> {
  return db.selectFrom('statusLists').select(['id', 'size']).where('id', '=', id).executeTakeFirst()
}

/**
 * The indexes of JWTs whose token is revoked or deleted, whose organization, type or owner is suspended or deleted, or
 * that ended by a rotation.
 */
export async function selectInvalid(db: Db, listId: string): Promise<number[]> {
  const rows = await db
    .selectFrom('statusListEntries')
    .innerJoin('statusLists', 'statusLists.id', 'statusListEntries.listId')
    .leftJoin('tokens', (join) =>
      join
        .onRef('tokens.organizationId', '=', 'statusLists.organizationId')
        .onRef('tokens.id', '=', 'statusListEntries.tokenId'),
    )
    .leftJoin('tokenSecrets', (join) =>
      join
        .onRef('tokenSecrets.organizationId', '=', 'tokens.organizationId')
        .onRef('tokenSecrets.tokenId', '=', 'tokens.id')
        .on(sql<boolean>`coalesce(token_secrets.id, tokens.id) = coalesce(secret_id, tokens.id)`),
    )
    .leftJoin('organizations', 'organizations.id', 'tokens.organizationId')
    .leftJoin('tokenTypes', (join) =>
      join.onRef('tokenTypes.name', '=', 'tokens.type').on('tokens.ownType', '=', false),
    )
    .leftJoin('organizationTokenTypes as ownTypes', (join) =>
      join
        .onRef('ownTypes.organizationId', '=', 'tokens.organizationId')
        .onRef('ownTypes.name', '=', 'tokens.type')
        .on('tokens.ownType', '=', true),
    )
    .leftJoin('owners', (join) =>
      join
        .onRef('owners.organizationId', '=', 'tokens.organizationId')
        .onRef('owners.subject', '=', 'tokens.ownerSubject'),
    )
    .where('statusListEntries.listId', '=', listId)
    .where((where) =>
      where.or([
        where('tokens.id', 'is', null),
        where('tokenSecrets.hash', 'is', null),
        where('tokens.revokedAt', 'is not', null),
        where('organizations.suspendedAt', 'is not', null),
        where('tokenTypes.suspendedAt', 'is not', null),
        where('ownTypes.suspendedAt', 'is not', null),
        where('owners.suspendedAt', 'is not', null),
      ]),
    )
    .select('idx')
    .execute()
  return rows.map(({ idx }) => idx)
}
