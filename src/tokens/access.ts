import { type Caller, holds, requirePermission } from '../access/caller.ts'
import type { Owner } from './issue.ts'

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
