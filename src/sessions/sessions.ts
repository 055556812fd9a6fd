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
import { sealWith } from './cookie-key.ts'
import type { Confirmed } from './provider.ts'
import * as store from './store.ts'

const minuteMs = 60_000

export const limits = {
  /** How long a session lasts without a request. */
  idleMs: 60 * minuteMs,
  /** How long it lasts in total, and that of a user who cannot be checked at the provider again. */
  absoluteMs: 12 * 60 * minuteMs,
  uncheckedMs: 5 * minuteMs,
  /** The maximum age of the check of a user, and for reading while the provider does not respond. */
  recheckMs: 5_000,
  graceMs: minuteMs,
}

/** The results of a sign-in at an issuer. */
export type SignedInUser = Confirmed & { idToken: string }

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
          ...(user && (await storedOf(user, secret))),
          checkedAt: now,
        }
      : { tokenId: principal.tokenId, tokenHash: Buffer.from(principal.hash, 'base64') }),
    ip,
    userAgent: userAgent?.slice(0, 500) ?? null,
    createdAt: now,
    lastSeenAt: now,
    expiresAt: new Date(
      now.getTime() + (isUser(principal) && !user?.tokens ? limits.uncheckedMs : limits.absoluteMs),
    ),
  }
  const session = await db.transaction().execute(async (tx) => {
    if (replaced)
      await logEnded(tx, caller, await store.deleteByHash(tx, replaced.hash()), { reason: 'replaced' })
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

async function storedOf({ claims, idToken, tokens }: SignedInUser, secret: Secret) {
  return {
    claims: JSON.stringify(claims),
    idToken: await sealWith(secret, 'id_token', idToken),
    providerTokens: tokens ? await sealWith(secret, 'provider_tokens', JSON.stringify(tokens)) : null,
  }
}

type Lookup = { db: Db; credentials: CredentialVerifier }

export type Check = { secret: Secret; now: Date; isRead: boolean }

/**
 * The session as the provider of its user confirms it; undefined if it has ended. Throws `unavailable` if the provider
 * does not respond.
 */
export type Recheck = (session: Session, check: Check) => Promise<Session | undefined>

/**
 * The session of a cookie, with its token or user as they are now; undefined if it has ended. One whose token or user is
 * no longer good ends here: it does not come back if they are good again later.
 */
export async function findSession(
  { db, credentials, recheck }: Lookup & { recheck: Recheck },
  check: Check,
): Promise<{ session: Session; principal: Principal } | undefined> {
  const { secret, now } = check
  const found = await store.findByHash(db, secret.hash())
  if (!found || isOver(found, now)) return undefined
  const session = await recheck(found, check)
  if (!session) return undefined
  const principal =
    session.tokenHash === null
      ? await currentUser(db, session)
      : await credentials.verifyFresh(hashText(session.tokenHash as SecretHash), now)
  if (!principal) {
    await end(db, system(now), (tx) => store.deleteSession(tx, session.id), {
      reason: 'no_longer_valid',
    })
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
  await end(db, caller, (tx) => store.deleteSession(tx, id), { reason: 'ended' })
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
  const ended = await end(db, { ...origin, actor }, (tx) => store.deleteSession(tx, session.id), {
    reason: 'signed_out',
  })
  return ended ? session : undefined
}

/** Ends all sessions of these users of an issuer. */
export async function endSessionsOf(
  db: Db,
  origin: Origin,
  issuerId: string,
  names: store.UserNames,
): Promise<void> {
  await end(db, origin, (tx) => store.deleteOfUsers(tx, issuerId, names), { reason: 'signalled' })
}

export async function deleteEndedSessions(db: Db, now: Date): Promise<void> {
  const seenBefore = new Date(now.getTime() - limits.idleMs)
  await inBatches(() =>
    end(db, system(now), (tx) => store.deleteOver(tx, { now, seenBefore, limit: batchSize }), {
      reason: 'expired',
    }),
  )
  await store.deleteExpiredLinks(db, now)
}

type Ending =
  | { reason: 'signed_out' | 'ended' | 'signalled' | 'replaced' | 'no_longer_valid' | 'expired' }
  | { reason: 'provider_rejected'; detail: string }

export async function end(
  db: Db,
  origin: Origin,
  remove: (tx: Db) => Promise<Session[]>,
  ending: Ending,
): Promise<number> {
  return db.transaction().execute(async (tx) => {
    const ended = await remove(tx)
    await logEnded(tx, origin, ended, ending)
    return ended.length
  })
}

async function logEnded(tx: Db, origin: Origin, ended: Session[], ending: Ending): Promise<void> {
  const changes = { before: {}, after: ending }
  const events = ended.map((session) => ({
    action: 'session.ended' as const,
    ...loggedAs(session),
    changes,
  }))
  if (events.length > 0) await recordAll(tx, origin, events)
}

export function loggedAs({ organizationId, id, name }: Session) {
  return { organizationId, target: { type: 'session', id, name } } as const
}

function actorOfSession({ tokenId, subject, name, claims }: Session): Actor {
  return tokenId === null
    ? { type: 'user', id: subject ?? '', name, issuer: claims?.iss ?? '' }
    : { type: 'token', id: tokenId, name }
}

export function system(now: Date): Origin {
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
