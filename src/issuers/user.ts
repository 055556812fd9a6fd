import type { JWTPayload } from 'jose'
import type { User } from '../access/caller.ts'
import { permissions } from '../access/permissions.ts'
import type { TrustedIssuer } from '../db/tables.ts'
import { badCredential } from '../errors.ts'
import { platformId, platformKey } from '../platform.ts'

/** The user that verified claims stand for, without the organization that they belong to. */
export function userFrom(payload: JWTPayload, registration: TrustedIssuer): Omit<User, 'organizationId'> {
  const { claims, defaultPermissions, groupPermissions } = registration
  const said = claimsOf(payload)
  const subject = text(said.get(claims.subject), 255)
  if (subject === undefined) throw badCredential('it has no subject')
  const groups = groupsIn(said.get(claims.groups))
  const granted = new Set([
    ...defaultPermissions,
    ...groupPermissions.filter(({ group }) => groups.has(group)).flatMap((group) => group.permissions),
  ])
  return {
    issuerId: registration.id,
    permissions: permissions.filter((permission) => granted.has(permission)),
    ownerSubject: subject,
    ownerEmail: email(said.get(claims.email)),
    ownerSource: 'sso',
    narrowedTo: null,
    allowedCidrs: null,
  }
}

/** The key of the organization that an issuer of the platform names; undefined if it names none that it may. */
export function organizationNamed(payload: JWTPayload, claim: string): string | undefined {
  const key = claimsOf(payload).get(claim)
  // Stands against a customer of the identity provider who calls itself `platform`.
  return typeof key === 'string' && isKey(key) && key !== platformKey ? key : undefined
}

/** The platform's own, whose users may do what they may everywhere. */
export function isOfPlatform({ organizationId }: TrustedIssuer): boolean {
  return organizationId === platformId
}

/** Whether it can be the key of an organization, before the database is asked. */
export function isKey(text: string): boolean {
  return /^[a-z][a-z0-9-]{0,30}[a-z0-9]$/.test(text)
}

/** An e-mail address that nobody has verified may be anybody's. */
function claimsOf(payload: JWTPayload): Map<string, unknown> {
  const claims = new Map<string, unknown>(Object.entries(payload))
  // Some issuers have it as a text.
  if (['false', false].includes(payload.email_verified as string | boolean)) claims.delete('email')
  return claims
}

function text(value: unknown, longest: number): string | undefined {
  const fits = typeof value === 'string' && value.trim() !== '' && value.length <= longest
  return fits && value.isWellFormed() && !value.includes('\0') ? value : undefined
}

function email(value: unknown): string | null {
  const address = text(value, 320)
  return address !== undefined && /^[^\s@\p{C}]+@[^\s@\p{C}]+$/u.test(address) ? address : null
}

function groupsIn(value: unknown): Set<unknown> {
  return new Set([value].flat())
}
