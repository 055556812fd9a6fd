import type { JWTPayload } from 'jose'
import type { User } from '../access/caller.ts'
import { permissions } from '../access/permissions.ts'
import type { TrustedIssuer } from '../db/tables.ts'
import { badCredential } from '../shared/errors.ts'
import { isOrganizationKey, isSameKey } from '../shared/organization-key.ts'
import { platformId, platformKey } from '../shared/platform.ts'

/** The user that verified claims describe, without their organization. */
export function userFrom(payload: JWTPayload, registration: TrustedIssuer): Omit<User, 'organizationId'> {
  const { claims, defaultPermissions, groupPermissions } = registration
  const values = claimsOf(payload)
  const subject = text(values.get(claims.subject), 255)
  if (subject === undefined) throw badCredential('it has no subject')
  const groups = groupsIn(values.get(claims.groups))
  const granted = new Set([
    ...defaultPermissions,
    ...groupPermissions.filter(({ group }) => groups.has(group)).flatMap((group) => group.permissions),
  ])
  return {
    issuerId: registration.id,
    issuer: registration.issuer,
    permissions: permissions.filter((permission) => granted.has(permission)),
    ownerSubject: subject,
    ownerEmail: email(values.get(claims.email)),
    ownerSource: 'sso',
    narrowedTo: null,
    allowedCidrs: null,
  }
}

/** The maximum length of the claims of a token; see verify.ts. */
const longest = 12 * 1024

/** The claims that identify a user and determine their permissions: no others are stored. */
export function keptClaims(payload: JWTPayload, { claims }: TrustedIssuer): JWTPayload {
  const names = new Set(['iss', 'aud', 'sub', 'email_verified', ...Object.values(claims)])
  const kept = Object.fromEntries(Object.entries(payload).filter(([name]) => names.has(name)))
  const text = JSON.stringify(kept)
  // PostgreSQL cannot store them.
  if (/\\u(0000|d[89a-f])/i.test(text))
    throw badCredential('its claims have characters that cannot be stored')
  if (text.length > longest) throw badCredential('its claims are too long')
  return kept
}

/** The organization key in a token of a platform issuer; undefined if it has none or must not name one. */
export function organizationNamed(payload: JWTPayload, claim: string): string | undefined {
  const key = claimsOf(payload).get(claim)
  // Keeps a customer of the identity provider who is named `platform` from getting platform access.
  return typeof key === 'string' && isOrganizationKey(key) && !isSameKey(key, platformKey) ? key : undefined
}

/** Whether it is the platform's own issuer, whose users act on every organization. */
export function isOfPlatform({ organizationId }: TrustedIssuer): boolean {
  return organizationId === platformId
}

/** An unverified e-mail address may belong to someone else. */
function claimsOf(payload: JWTPayload): Map<string, unknown> {
  const claims = new Map<string, unknown>(Object.entries(payload))
  // Some issuers send it as a string.
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
