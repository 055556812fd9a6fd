import type { Db } from './database.ts'

/**
 * The key that cursors are signed with: one for all instances on a database, made by the migration. It guards no
 * data, since a cursor only says where to go on in a list that its reader may read.
 */
export async function readCursorKey(db: Db): Promise<Buffer> {
  const { cursorKey } = await db.selectFrom('installation').select('cursorKey').executeTakeFirstOrThrow()
  return cursorKey
}
