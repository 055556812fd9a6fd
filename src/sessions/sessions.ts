import { v7 as uuid } from 'uuid'
import { type Caller, holds, isUser, reaches } from '../access/caller.ts'
import type { Credential } from '../access/credential.ts'
import type { CredentialVerifier } from '../credentials/credential-verifier.ts'
import type { Db } from '../db/database.ts'
import type { Session } from '../db/tables.ts'
import { AppError } from '../shared/errors.ts'
import { generateSecret, hashText, type Secret, type SecretHash } from '../shared/secret.ts'
import * as store from './store.ts'

const minuteMs = 60_000

/** How long a session lasts without a request, and in all. */
export const limits = { idleMs: 60 * minuteMs, absoluteMs: 12 * 60 * minuteMs }

export type Opening = { ip: string | null; userAgent: string | undefined; now: Date }

/** Opens a session that acts as the token, for as long as the presented secret is good. */
export async function openSession(
  db: Db,
  { organizationId, name, tokenId, hash }: Credential,
  { ip, userAgent, now }: Opening,
): Promise<{ secret: Secret; session: Session }> {
  const secret = generateSecret('cfs')
  const session = await store.insertSession(db, {
    id: uuid(),
    organizationId,
    hash: secret.hash(),
    name,
    tokenId,
    tokenHash: Buffer.from(hash, 'base64'),
    ip,
    userAgent: userAgent?.slice(0, 500) ?? null,
    createdAt: now,
    lastSeenAt: now,
    expiresAt: new Date(now.getTime() + limits.absoluteMs),
  })
  return { secret, session }
}

type Lookup = { db: Db; credentials: CredentialVerifier }

/**
 * The session of a cookie, with its token as it is now; undefined if it has ended. One whose token is no longer good ends
 * here: it does not come back if the token is good again later.
 */
export async function findSession(
  { db, credentials }: Lookup,
  secret: Secret,
  now: Date,
): Promise<{ session: Session; token: Credential } | undefined> {
  const session = await store.findByHash(db, secret.hash())
  if (!session || isOver(session, now)) return undefined
  const token = await credentials.verifyFresh(hashText(session.tokenHash as SecretHash), now)
  if (!token) {
    await store.deleteSession(db, session.id)
    return undefined
  }
  if (now.getTime() - session.lastSeenAt.getTime() >= minuteMs) await store.touchSession(db, session.id, now)
  return { session, token }
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
  let tokenId: string | undefined
  if (!holds(principal, 'tokens:read')) {
    // Users call with tokens of their issuer, which open no sessions.
    if (isUser(principal)) return []
    tokenId = principal.tokenId
  }
  return store.selectSessions(db, {
    ...(tokenId !== undefined && { tokenId }),
    organizationId: principal.organizationId,
    openAt: { expiresAfter: now, seenAfter: new Date(now.getTime() - limits.idleMs) },
    ...page,
  })
}

/** Ends a session of the caller, or with `tokens:write` one of another caller of their organization. */
export async function endSession(db: Db, { principal }: Caller, id: string): Promise<void> {
  const session = await store.findById(db, id)
  const permitted =
    session &&
    ((!isUser(principal) && session.tokenId === principal.tokenId) ||
      (holds(principal, 'tokens:write') && reaches(principal, session.organizationId)))
  if (!permitted) throw new AppError('not_found', 'There is no such session.')
  await store.deleteSession(db, id)
}

/** Ends the session that a sign-in replaces. */
export async function endReplaced(db: Db, secret: Secret): Promise<void> {
  await store.deleteByHash(db, secret.hash())
}

export async function deleteEndedSessions(db: Db, now: Date): Promise<void> {
  await store.deleteOver(db, now, new Date(now.getTime() - limits.idleMs))
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
