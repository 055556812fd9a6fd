import { AppError } from '../shared/errors.ts'
import { managementType, platformId } from '../shared/platform.ts'
import type { Credential, OwnerSource } from './credential.ts'
import type { Permission } from './permissions.ts'

/** The actor of a change, as known at the time. */
export type Actor =
  | { type: 'token'; id: string; name: string }
  | { type: 'user'; id: string; name: string /** The issuer that vouches for the id. */; issuer: string }
  | { type: 'system'; id: string; name: string }

/** Who, when and from where: recorded with every change. */
export type Origin = {
  actor: Actor
  /** The subject of the user on whose behalf the actor makes the change, if any. */
  onBehalfOf?: string
  requestId: string
  ip: string | null
  now: Date
}

/** A user who signed in at a trusted issuer, with the permissions that the issuer's registration grants. */
export type User = {
  issuerId: string
  /** The issuer of the sign-in. */
  issuer: string
  organizationId: string
  permissions: readonly Permission[]
  ownerSubject: string
  ownerEmail: string | null
  ownerSource: OwnerSource
  /** Users are not narrowed or bound to networks; only their permissions limit what they see. */
  narrowedTo: null
  allowedCidrs: null
}

/** The authenticated party behind a request. */
export type Principal = Credential | User

/** The parts of a request that domain functions use: its caller, time and address. */
export type Caller = Origin & { principal: Principal }

/** A caller who changes a token of another user acts on behalf of that user. */
export function onBehalfOf(caller: Caller, owner: string | null): Origin {
  return owner === null || owner === caller.principal.ownerSubject ? caller : { ...caller, onBehalfOf: owner }
}

export function isUser(principal: Principal): principal is User {
  return 'issuerId' in principal
}

/** How the change log names a principal. */
export function actorOf(principal: Principal): Actor {
  if (!isUser(principal)) return { type: 'token', id: principal.tokenId, name: principal.name }
  const { ownerSubject: id, ownerEmail, issuer } = principal
  return { type: 'user', id, name: ownerEmail ?? id, issuer }
}

/** Only management tokens carry permissions; a `tokens:write` scope on any other type has no meaning here. */
export function holds(principal: Principal, permission: Permission): boolean {
  if (isUser(principal)) return carries(principal.permissions, permission)
  return principal.type === managementType && carries(principal.scopes, permission)
}

function carries(held: readonly string[], permission: Permission): boolean {
  return held.includes(permission) || held.includes('platform:admin')
}

/** Management tokens of the platform organization act on every organization, all others only on their own. */
export function reaches(principal: Pick<Credential, 'organizationId'>, organizationId: string): boolean {
  return principal.organizationId === organizationId || principal.organizationId === platformId
}

export function requirePermission(caller: Caller, permission: Permission): void {
  if (!holds(caller.principal, permission)) throw insufficientScope(permission, caller.principal)
}

export function insufficientScope(permission: Permission, principal?: Principal): AppError {
  const otherKind = principal && !isUser(principal) && principal.type !== managementType
  const detail = otherKind
    ? `This needs a token of the type ${managementType} with the permission ${permission}; the presented one is of the type ${principal.type}.`
    : `This needs the permission ${permission}.`
  return new AppError('insufficient_scope', detail, { scope: permission })
}
