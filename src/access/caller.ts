import type { Actor } from '../db/tables.ts'
import { AppError } from '../errors.ts'
import type { Credential } from '../introspection/credential.ts'
import { managementType, platformId } from '../platform.ts'
import type { Permission } from './permissions.ts'

/** To whom, when and where a change is attributed. */
export type Origin = {
  actor: Actor
  /** The subject of the user for whom the actor does it; left out if it is for itself. */
  onBehalfOf?: string
  requestId: string
  ip: string | null
  now: Date
}

/** Who asks: what a domain function needs to decide, to date and to attribute. */
export type Caller = Origin & { principal: Credential }

/** Only management tokens carry permissions: a `tokens:write` scope on any other token means nothing here. */
export function holds(principal: Credential, permission: Permission): boolean {
  if (principal.type !== managementType) return false
  return principal.scopes.includes(permission) || principal.scopes.includes('platform:admin')
}

/** Management tokens of the platform organization act on every organization, all others on their own only. */
export function reaches(principal: Pick<Credential, 'organizationId'>, organizationId: string): boolean {
  return principal.organizationId === organizationId || principal.organizationId === platformId
}

export function requirePermission(caller: Caller, permission: Permission): void {
  if (holds(caller.principal, permission)) return
  throw new AppError('insufficient_scope', `This needs the permission ${permission}.`, { scope: permission })
}
