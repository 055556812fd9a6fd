import type { Insertable, Updateable } from 'kysely'
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

export async function updateSession(
  tx: Db,
  id: string,
  values: Updateable<Tables['sessions']>,
): Promise<Session | undefined> {
  return tx.updateTable('sessions').set(values).where('id', '=', id).returningAll().executeTakeFirst()
}

type Claim = { checkedBefore: Date; now: Date; until: Date }

/** The session, unless another request has checked it or is checking it. Only one of concurrent requests gets it. */
export async function claimCheck(
  db: Db,
  id: string,
  { checkedBefore, now, until }: Claim,
): Promise<Session | undefined> {
  return db
    .updateTable('sessions')
    .set({ checkClaimedUntil: until })
    .where('id', '=', id)
    .where('checkedAt', '<=', checkedBefore)
    .where((where) =>
      where.or([where('checkClaimedUntil', 'is', null), where('checkClaimedUntil', '<=', now)]),
    )
    .returningAll()
    .executeTakeFirst()
}

export async function touchSession(db: Db, id: string, lastSeenAt: Date): Promise<void> {
  await db.updateTable('sessions').set({ lastSeenAt }).where('id', '=', id).execute()
}

export async function deleteSession(tx: Db, id: string): Promise<Session[]> {
  return tx.deleteFrom('sessions').where('id', '=', id).returningAll().execute()
}

export async function deleteByHash(tx: Db, hash: SecretHash): Promise<Session[]> {
  return tx.deleteFrom('sessions').where('hash', '=', hash).returningAll().execute()
}

/** How an issuer identifies users. */
export type UserNames = { subjects: string[]; emails: string[] }

export async function deleteOfUsers(
  tx: Db,
  issuerId: string,
  { subjects, emails }: UserNames,
): Promise<Session[]> {
  if (subjects.length + emails.length === 0) return []
  const lowered = emails.map((email) => email.toLowerCase())
  return tx
    .deleteFrom('sessions')
    .where('issuerId', '=', issuerId)
    .where((where) =>
      where.or([
        where('subject', '=', where.fn.any(where.val(subjects))),
        where(where.fn<string>('lower', ['name']), '=', where.fn.any(where.val(lowered))),
      ]),
    )
    .returningAll()
    .execute()
}

/** The token or user that a session acts as. */
export type Holder = { tokenId: string } | { issuerId: string; subject: string }

/** The position of a session in the list. */
export type SessionPosition = { created_at: string; id: string }

type SessionQuery = {
  /** Only sessions of this holder; otherwise those of the whole organization, or of all for the platform. */
  of?: Holder
  organizationId: string
  openAt: { expiresAfter: Date; seenAfter: Date }
  before?: SessionPosition
  limit: number
}

/** Newest first; one row more than `limit` if there are more. */
export async function selectSessions(
  db: Db,
  { of, organizationId, openAt, before, limit }: SessionQuery,
): Promise<Session[]> {
  return db
    .selectFrom('sessions')
    .selectAll()
    .where('expiresAt', '>', openAt.expiresAfter)
    .where('lastSeenAt', '>', openAt.seenAfter)
    .$if(organizationId !== platformId, (query) => query.where('organizationId', '=', organizationId))
    .$if(of !== undefined, (query) =>
      query.where((where) => where.and(of as Partial<Record<'tokenId' | 'issuerId' | 'subject', string>>)),
    )
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

/** Deletes at most `limit` of the sessions that are over; another instance may delete others at the same time. */
export async function deleteOver(
  tx: Db,
  { now, seenBefore, limit }: { now: Date; seenBefore: Date; limit: number },
): Promise<Session[]> {
  return tx
    .deleteFrom('sessions')
    .where('id', 'in', (over) =>
      over
        .selectFrom('sessions')
        .select('id')
        .where((where) => where.or([where('expiresAt', '<=', now), where('lastSeenAt', '<=', seenBefore)]))
        .limit(limit)
        .forUpdate()
        .skipLocked(),
    )
    .returningAll()
    .execute()
}

export async function deleteExpiredLinks(db: Db, now: Date): Promise<void> {
  await db.deleteFrom('signInLinks').where('expiresAt', '<=', now).execute()
}

export async function insertLink(db: Db, link: Insertable<Tables['signInLinks']>): Promise<void> {
  await db.insertInto('signInLinks').values(link).execute()
}

/** Deletes the link and returns it. Only one of concurrent requests gets it. */
export async function takeLink(db: Db, hash: SecretHash) {
  return db.deleteFrom('signInLinks').where('hash', '=', hash).returningAll().executeTakeFirst()
}
