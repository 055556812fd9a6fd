import { type Caller, type Origin, onBehalfOf, reaches } from '../access/caller.ts'
import { eventOf, record } from '../audit/audit.ts'
import type { Db } from '../db/database.ts'
import type { Secret } from '../shared/secret.ts'
import { tokenEvent } from './audit-event.ts'
import { reachableToken, visible, type Which } from './find.ts'
import { revokeToken as revokeFound } from './revoke-store.ts'
import { rejectStaticSecret, rejectStaticToken, type StaticSecret } from './static-secret/static-secret.ts'
import * as store from './store.ts'
import { onlyOwner, presentedToken } from './token-owner-scope.ts'

export async function revokeToken(
  db: Db,
  caller: Caller,
  which: Which,
  reason: string | null,
): Promise<store.Token> {
  return revoke(db, caller, reason, async () => {
    const { organizationId, token } = await reachableToken(db, caller, which)
    const self = onlyOwner(caller, 'tokens:write')
    if (!token) rejectStaticToken(organizationId, which.token)
    return visible(token, self)
  })
}

/** The holder of a token may revoke it, whatever its permissions. */
export async function revokeSelf(db: Db, caller: Caller, reason: string | null): Promise<store.Token> {
  const { organizationId, id } = presentedToken(caller)
  rejectStaticToken(organizationId, id)
  return revoke(db, caller, reason, async () =>
    visible(await store.findToken(db, { organizationId, id }), undefined),
  )
}

/**
 * RFC 7009 §2.2: an unknown token, or one that the caller does not reach, is not an error; the response is the same.
 */
export async function revokeBySecret(
  db: Db,
  caller: Caller,
  secret: Secret,
  staticSecret: StaticSecret | undefined,
): Promise<void> {
  const self = onlyOwner(caller, 'tokens:write')
  if (self === undefined && staticSecret) await rejectStaticSecret(db, caller, staticSecret, secret)
  await revoke(db, caller, null, async () => {
    const token = await store.findTokenByHash(db, secret.hash())
    if (!token || !reaches(caller.principal, token.organizationId)) return undefined
    return self === undefined || token.ownerSubject === self ? token : undefined
  })
}

/** Revokes a token that is not revoked and that the transaction has locked, regardless of the caller's permissions. */
export async function revokeLocked(
  tx: Db,
  origin: Origin,
  token: store.Token,
  reason: string,
): Promise<void> {
  const { now, actor } = origin
  await store.updateToken(tx, token, {
    revokedAt: now,
    revokedBy: JSON.stringify(actor),
    revokedReason: reason,
    updatedAt: now,
  })
  await record(tx, origin, tokenEvent('token.revoked', token, { before: {}, after: { reason } }))
}

/** Revoking a revoked token changes nothing: it keeps the first caller, time and reason. */
async function revoke<Found extends store.Token | undefined>(
  db: Db,
  caller: Caller,
  reason: string | null,
  find: () => Promise<Found>,
): Promise<store.Token | Found> {
  for (;;) {
    const token = await find()
    if (!token || token.revokedAt) return token
    const revocation = { revokedAt: caller.now, revokedBy: caller.actor, revokedReason: reason }
    const event = tokenEvent('token.revoked', token, { before: {}, after: { reason } })
    const origin = onBehalfOf(caller, token.ownerSubject)
    const revoked = await revokeFound(db, token, revocation, eventOf(origin, event))
    if (revoked) return revoked
    // Not revoked because the token changed in the meantime: decide again on its current state.
  }
}
