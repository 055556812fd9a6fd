import { type Caller, holds, isUser, requirePermission } from '../access/caller.ts'
import type { AskedOwner } from '../access/credential.ts'
import { AppError } from '../shared/errors.ts'

/** The owner whose tokens the caller may act on: any (undefined), or with `tokens:own` only the caller's own. */
export function onlyOwner(caller: Caller, permission: 'tokens:read' | 'tokens:write'): string | undefined {
  const { principal } = caller
  if (!holds(principal, permission) && holds(principal, 'tokens:own') && principal.ownerSubject !== null) {
    return principal.ownerSubject
  }
  requirePermission(caller, permission)
  return undefined
}

/** The caller as an owner. The source of a token's owner comes from the owner's record, not from the token. */
export function selfAsOwner({ principal }: Caller): AskedOwner | null {
  const { ownerSubject: subject, ownerEmail: email } = principal
  if (subject === null) return null
  return { subject, email, source: isUser(principal) ? principal.ownerSource : undefined }
}

/**
 * The owner of a new token: with `tokens:own` always the caller's owner. For signed-in users, the issuer's facts
 * replace what they state about themselves, so that they cannot evade rules about single sign-on.
 */
export function ownerOfNew(
  caller: Caller,
  onlySelf: string | undefined,
  asked: AskedOwner | null,
): AskedOwner | null {
  return onlySelf !== undefined || isSignedInAs(caller, asked?.subject) ? selfAsOwner(caller) : asked
}

/**
 * Whether the caller is the user with this subject, as opposed to a token that another caller created for that user.
 */
export function isSignedInAs({ principal }: Caller, subject: string | undefined): boolean {
  return isUser(principal) && principal.ownerSubject === subject
}

/** The Counterfoil token in the request; a user's sign-in is not one. */
export function presentedToken({ principal }: Caller): { organizationId: string; id: string } {
  if (!isUser(principal)) return { organizationId: principal.organizationId, id: principal.tokenId }
  throw new AppError('not_found', "The request used a user's sign-in, not a Counterfoil token.")
}
