import type { Credential } from '../credentials/credential.ts'
import type { Actor, OwnerSource } from '../db/tables.ts'
import { AppError } from '../errors.ts'
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

/** A user who signed in at a trusted issuer, with what its registration lets them do. */
export type User = {
  issuerId: string
  organizationId: string
  permissions: readonly Permission[]
  ownerSubject: string
  ownerEmail: string | null
  ownerSource: OwnerSource
  /** Users see all of their organization that they are permitted to see, from wherever they come. */
  narrowedTo: null
  allowedCidrs: null
}

/** On whose behalf a request comes. */
export type Principal = Credential | User

/** Who asks: what a domain function needs to decide, to date and to attribute. */
export type Caller = Origin & { principal: Principal }

export function isUser(principal: Principal): principal is User {
  return 'issuerId' in principal
}

/** Of tokens only those for management carry permissions: a `tokens:write` scope on any other means nothing here. */
export function holds(principal: Principal, permission: Permission): boolean {
  if (isUser(principal)) return carries(principal.permissions, permission)
  return principal.type === managementType && carries(principal.scopes, permission)
}

function carries(held: readonly string[], permission: Permission): boolean {
  return held.includes(permission) || held.includes('platform:admin')
}

/** Management tokens of the platform organization act on every organization, all others on their own only. */
export function reaches(principal: Pick<Credential, 'organizationId'>, organizationId: string): boolean {
  return principal.organizationId === organizationId || principal.organizationId === platformId
}

export function requirePermission(caller: Caller, permission: Permission): void {
  if (!holds(caller.principal, permission)) throw lackOf(permission, caller.principal)
}

export function lackOf(permission: Permission, principal?: Principal): AppError {
  const otherKind = principal && !isUser(principal) && principal.type !== managementType
  const detail = otherKind
    ? `This needs a token of the type ${managementType} with the permission ${permission}; the presented one is of the type ${principal.type}.`
    : `This needs the permission ${permission}.`
  return new AppError('insufficient_scope', detail, { scope: permission })
}
