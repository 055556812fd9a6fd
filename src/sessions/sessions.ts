import type { JWTPayload } from 'jose'
import { v7 as uuid } from 'uuid'
import {
  type Actor,
  type Caller,
  holds,
  isUser,
  type Origin,
  type Principal,
  reaches,
} from '../access/caller.ts'
import type { Credential } from '../access/credential.ts'
import { record, recordAll } from '../audit/audit.ts'
import type { CredentialVerifier } from '../credentials/credential-verifier.ts'
import { batchSize, inBatches } from '../db/batches.ts'
import type { Db } from '../db/database.ts'
import type { Session } from '../db/tables.ts'
import { currentUser } from '../issuers/console.ts'
import { AppError } from '../shared/errors.ts'
import { generateSecret, hashText, type Secret, type SecretHash } from '../shared/secret.ts'
import { sealIdToken } from './id-token.ts'
import * as store from './store.ts'

const minuteMs = 60_000

/** How long a session lasts without a request, and in all. A user has to be asked for again sooner: see docs/console.md. */
export const limits = { idleMs: 60 * minuteMs, absoluteMs: 12 * 60 * minuteMs, userMs: 60 * minuteMs }

/** What a sign-in at an issuer leaves behind. */
export type SignedInUser = { claims: JWTPayload; idToken: string }

export type Opening = {
  by: 'token' | 'link' | 'openid'
  userAgent: string | undefined
  /** The session that the browser had: it ends, so that an attacker who planted it does not share the new one. */
  replaced: Secret | undefined
  /** For a user. */
  user?: SignedInUser
}

/** Opens a session that acts as the caller. */
export async function openSession(
  db: Db,
  caller: Caller,
  { by, userAgent, replaced, user }: Opening,
): Promise<{ secret: Secret; session: Session }> {
  const { principal, ip, now, actor } = caller
  const secret = generateSecret('cfs')
  const values = {
    id: uuid(),
    organizationId: principal.organizationId,
    hash: secret.hash(),
    name: actor.name,
    ...(isUser(principal)
      ? {
          issuerId: principal.issuerId,
          subject: principal.ownerSubject,
          claims: user ? JSON.stringify(user.claims) : null,
          idToken: user ? await sealIdToken(user.idToken, secret) : null,
        }
      : { tokenId: principal.tokenId, tokenHash: Buffer.from(principal.hash, 'base64') }),
    ip,
    userAgent: userAgent?.slice(0, 500) ?? null,
    createdAt: now,
    lastSeenAt: now,
    expiresAt: new Date(now.getTime() + (isUser(principal) ? limits.userMs : limits.absoluteMs)),
  }
  const session = await db.transaction().execute(async (tx) => {
    if (replaced) await logEnded(tx, caller, await store.deleteByHash(tx, replaced.hash()), 'replaced')
    const session = await store.insertSession(tx, values)
    await record(tx, caller, {
      action: 'session.created',
      ...loggedAs(session),
      changes: { before: {}, after: { sign_in: by } },
    })
    return session
  })
  return { secret, session }
}

type Lookup = { db: Db; credentials: CredentialVerifier }

/**
 * The session of a cookie, with its token or user as they are now; undefined if it has ended. One whose token or user is
 * no longer good ends here: it does not come back if they are good again later.
 */
export async function findSession(
  { db, credentials }: Lookup,
  secret: Secret,
  now: Date,
): Promise<{ session: Session; principal: Principal } | undefined> {
  const session = await store.findByHash(db, secret.hash())
  if (!session || isOver(session, now)) return undefined
  const principal =
    session.tokenHash === null
      ? await currentUser(db, session)
      : await credentials.verifyFresh(hashText(session.tokenHash as SecretHash), now)
  if (!principal) {
    await end(db, system(now), (tx) => store.deleteSession(tx, session.id), 'no_longer_valid')
    return undefined
  }
  if (now.getTime() - session.lastSeenAt.getTime() >= minuteMs) await store.touchSession(db, session.id, now)
  return { session, principal }
}

function isOver({ expiresAt, lastSeenAt }: Session, now: Date): boolean {
  return expiresAt <= now || now.getTime() - lastSeenAt.getTime() >= limits.idleMs
}

/** The caller's own sessions; with `tokens:read` those of all callers of their organization. */
export async function listSessions(
  db: Db,
  { principal, now }: Caller,
  page: { before?: store.SessionPosition; limit: number },
): Promise<Session[]> {
  return store.selectSessions(db, {
    ...(!holds(principal, 'tokens:read') && { of: holderOf(principal) }),
    organizationId: principal.organizationId,
    openAt: { expiresAfter: now, seenAfter: new Date(now.getTime() - limits.idleMs) },
    ...page,
  })
}

function holderOf(principal: Principal): store.Holder {
  return isUser(principal)
    ? { issuerId: principal.issuerId, subject: principal.ownerSubject }
    : { tokenId: principal.tokenId }
}

/** Ends a session of the caller, or with `tokens:write` one of another caller of their organization. */
export async function endSession(db: Db, caller: Caller, id: string): Promise<void> {
  const { principal } = caller
  const session = await store.findById(db, id)
  const permitted =
    session &&
    (isHeldBy(session, principal) ||
      (holds(principal, 'tokens:write') && reaches(principal, session.organizationId)))
  if (!permitted) throw new AppError('not_found', 'There is no such session.')
  await end(db, caller, (tx) => store.deleteSession(tx, id), 'ended')
}

function isHeldBy(session: Session, principal: Principal): boolean {
  return isUser(principal)
    ? session.issuerId === principal.issuerId && session.subject === principal.ownerSubject
    : session.tokenId === principal.tokenId
}

/** Ends the session of this browser, and returns it if there was one. */
export async function signOut(
  db: Db,
  secret: Secret,
  origin: Omit<Origin, 'actor'>,
): Promise<Session | undefined> {
  const session = await store.findByHash(db, secret.hash())
  if (!session) return undefined
  const actor = actorOfSession(session)
  const ended = await end(db, { ...origin, actor }, (tx) => store.deleteSession(tx, session.id), 'signed_out')
  return ended ? session : undefined
}

/** Ends all sessions of these users of an issuer. */
export async function endSessionsOf(
  db: Db,
  origin: Origin,
  issuerId: string,
  names: store.UserNames,
): Promise<void> {
  await end(db, origin, (tx) => store.deleteOfUsers(tx, issuerId, names), 'signalled')
}

export async function deleteEndedSessions(db: Db, now: Date): Promise<void> {
  const seenBefore = new Date(now.getTime() - limits.idleMs)
  await inBatches(() =>
    end(db, system(now), (tx) => store.deleteOver(tx, { now, seenBefore, limit: batchSize }), 'expired'),
  )
  await store.deleteExpiredSignIns(db, now)
}

type EndReason = 'signed_out' | 'ended' | 'signalled' | 'replaced' | 'no_longer_valid' | 'expired'

async function end(
  db: Db,
  origin: Origin,
  remove: (tx: Db) => Promise<Session[]>,
  reason: EndReason,
): Promise<number> {
  return db.transaction().execute(async (tx) => {
    const ended = await remove(tx)
    await logEnded(tx, origin, ended, reason)
    return ended.length
  })
}

async function logEnded(tx: Db, origin: Origin, ended: Session[], reason: EndReason): Promise<void> {
  const changes = { before: {}, after: { reason } }
  const events = ended.map((session) => ({
    action: 'session.ended' as const,
    ...loggedAs(session),
    changes,
  }))
  if (events.length > 0) await recordAll(tx, origin, events)
}

function loggedAs({ organizationId, id, name }: Session) {
  return { organizationId, target: { type: 'session', id, name } } as const
}

function actorOfSession({ tokenId, subject, name, claims }: Session): Actor {
  return tokenId === null
    ? { type: 'user', id: subject ?? '', name, issuer: claims?.iss ?? '' }
    : { type: 'token', id: tokenId, name }
}

function system(now: Date): Origin {
  return { actor: { type: 'system', id: 'sessions', name: 'Sessions' }, requestId: uuid(), ip: null, now }
}

const linkMs = 10 * minuteMs

/** A code that opens one session of the token with this hash, within ten minutes. */
export async function createSignInLink(db: Db, token: SecretHash, now: Date): Promise<Secret> {
  const code = generateSecret('cfl')
  await store.insertLink(db, {
    hash: code.hash(),
    tokenHash: token,
    expiresAt: new Date(now.getTime() + linkMs),
  })
  return code
}

/** The token that the link is for, if it is good; the link cannot be used again either way. */
export async function useSignInLink(
  { db, credentials }: Lookup,
  code: Secret,
  now: Date,
): Promise<Credential | undefined> {
  const link = await store.takeLink(db, code.hash())
  if (!link || link.expiresAt <= now) return undefined
  return credentials.verifyFresh(hashText(link.tokenHash as SecretHash), now)
}
