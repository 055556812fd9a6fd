import { type Caller, holds, isUser, requirePermission } from '../access/caller.ts'
import { AppError } from '../errors.ts'
import type { Owner } from './create/decide.ts'

/** Whose tokens the caller may act on: everybody's (undefined), or with `tokens:own` those of its own owner. */
export function onlyOwner(caller: Caller, permission: 'tokens:read' | 'tokens:write'): string | undefined {
  const { principal } = caller
  if (!holds(principal, permission) && holds(principal, 'tokens:own') && principal.ownerSubject !== null) {
    return principal.ownerSubject
  }
  requirePermission(caller, permission)
  return undefined
}

export function selfAsOwner({ principal: { ownerSubject, ownerEmail, ownerSource } }: Caller): Owner | null {
  if (ownerSubject === null || ownerSource === null) return null
  return { subject: ownerSubject, email: ownerEmail, source: ownerSource }
}

/**
 * Who a new token belongs to: with `tokens:own` the caller's owner, whoever is asked for. Signed-in users are for
 * themselves what their issuer says, so that nobody gets round a rule for those who come through single sign-on.
 */
export function ownerOfNew(caller: Caller, onlySelf: string | undefined, asked: Owner | null): Owner | null {
  return onlySelf !== undefined || isSignedInAs(caller, asked?.subject) ? selfAsOwner(caller) : asked
}

/** Whether the caller is a user with this subject, and no token that somebody else made for it. */
export function isSignedInAs({ principal }: Caller, subject: string | undefined): boolean {
  return isUser(principal) && principal.ownerSubject === subject
}

/** Which token the request presents; the sign-in of a user is none of ours. */
export function presentedToken({ principal }: Caller): { organizationId: string; id: string } {
  if (!isUser(principal)) return { organizationId: principal.organizationId, id: principal.tokenId }
  throw new AppError('not_found', 'The request used the sign-in of a user, not a Counterfoil token.')
}
