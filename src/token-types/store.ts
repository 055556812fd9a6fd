import type { Insertable, Updateable } from 'kysely'
import type { Db } from '../db/database.ts'
import type { Tables, TokenType } from '../db/tables.ts'

export async function findTokenType(db: Db, name: string): Promise<TokenType | undefined> {
  return db.selectFrom('tokenTypes').selectAll().where('name', '=', name).executeTakeFirst()
}

/** Locks the row until the end of the transaction, so that a change is decided on what it replaces. */
export async function lockTokenType(tx: Db, name: string): Promise<TokenType | undefined> {
  return tx.selectFrom('tokenTypes').selectAll().where('name', '=', name).forUpdate().executeTakeFirst()
}

export async function selectTokenTypes(db: Db): Promise<TokenType[]> {
  return db.selectFrom('tokenTypes').selectAll().orderBy('name').execute()
}

/** Undefined if the name is taken. */
export async function insertTokenType(
  db: Db,
  type: Insertable<Tables['tokenTypes']>,
): Promise<TokenType | undefined> {
  return db
    .insertInto('tokenTypes')
    .values(type)
    .onConflict((conflict) => conflict.column('name').doNothing())
    .returningAll()
    .executeTakeFirst()
}

export async function updateTokenType(
  db: Db,
  { name, version }: TokenType,
  change: Updateable<Tables['tokenTypes']>,
): Promise<TokenType> {
  return db
    .updateTable('tokenTypes')
    .set({ ...change, version: version + 1 })
    .where('name', '=', name)
    .returningAll()
    .executeTakeFirstOrThrow()
}

export async function deleteTokenType(db: Db, name: string): Promise<void> {
  await db.deleteFrom('tokenTypes').where('name', '=', name).execute()
}

export async function hasTokens(db: Db, type: string): Promise<boolean> {
  const token = await db
    .selectFrom('tokens')
    .select('id')
    .where('type', '=', type)
    .limit(1)
    .executeTakeFirst()
  return token !== undefined
}
