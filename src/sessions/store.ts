import type { Insertable } from 'kysely'
import type { Db } from '../db/database.ts'
import type { Session, Tables } from '../db/tables.ts'
import { platformId } from '../shared/platform.ts'
import type { SecretHash } from '../shared/secret.ts'

export async function insertSession(db: Db, session: Insertable<Tables['sessions']>): Promise<Session> {
  return db.insertInto('sessions').values(session).returningAll().executeTakeFirstOrThrow()
}

export async function findByHash(db: Db, hash: SecretHash): Promise<Session | undefined> {
  return db.selectFrom('sessions').selectAll().where('hash', '=', hash).executeTakeFirst()
}

export async function findById(db: Db, id: string): Promise<Session | undefined> {
  return db.selectFrom('sessions').selectAll().where('id', '=', id).executeTakeFirst()
}

export async function touchSession(db: Db, id: string, lastSeenAt: Date): Promise<void> {
  await db.updateTable('sessions').set({ lastSeenAt }).where('id', '=', id).execute()
}

export async function deleteSession(db: Db, id: string): Promise<void> {
  await db.deleteFrom('sessions').where('id', '=', id).execute()
}

export async function deleteByHash(db: Db, hash: SecretHash): Promise<void> {
  await db.deleteFrom('sessions').where('hash', '=', hash).execute()
}

/** The position of a session in the list. */
export type SessionPosition = { created_at: string; id: string }

type SessionQuery = {
  /** Only sessions of this token; otherwise those of the whole organization, or of all for the platform. */
  tokenId?: string
  organizationId: string
  openAt: { expiresAfter: Date; seenAfter: Date }
  before?: SessionPosition
  limit: number
}

/** Newest first; one row more than `limit` if there are more. */
export async function selectSessions(
  db: Db,
  { tokenId, organizationId, openAt, before, limit }: SessionQuery,
): Promise<Session[]> {
  return db
    .selectFrom('sessions')
    .selectAll()
    .where('expiresAt', '>', openAt.expiresAfter)
    .where('lastSeenAt', '>', openAt.seenAfter)
    .$if(organizationId !== platformId, (query) => query.where('organizationId', '=', organizationId))
    .$if(tokenId !== undefined, (query) => query.where('tokenId', '=', tokenId as string))
    .$if(before !== undefined, (query) =>
      query.where((where) =>
        where(
          where.refTuple('createdAt', 'id'),
          '<',
          where.tuple(new Date(before?.created_at ?? 0), before?.id ?? ''),
        ),
      ),
    )
    .orderBy('createdAt', 'desc')
    .orderBy('id', 'desc')
    .limit(limit + 1)
    .execute()
}

export async function deleteOver(db: Db, expiredBefore: Date, seenBefore: Date): Promise<void> {
  await db
    .deleteFrom('sessions')
    .where((where) =>
      where.or([where('expiresAt', '<', expiredBefore), where('lastSeenAt', '<', seenBefore)]),
    )
    .execute()
  await db.deleteFrom('signInLinks').where('expiresAt', '<', expiredBefore).execute()
}

export async function insertLink(db: Db, link: Insertable<Tables['signInLinks']>): Promise<void> {
  await db.insertInto('signInLinks').values(link).execute()
}

/** The link, which from then on does not exist. Of two requests at the same time only one gets it. */
export async function takeLink(db: Db, hash: SecretHash) {
  return db.deleteFrom('signInLinks').where('hash', '=', hash).returningAll().executeTakeFirst()
}
