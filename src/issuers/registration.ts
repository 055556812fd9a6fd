import { type Caller, requirePermission } from '../access/caller.ts'
import { rejectEscalation } from '../access/escalation.ts'
import { type Permission, permissions } from '../access/permissions.ts'
import type { ClaimNames, Organization, TrustedIssuer } from '../db/tables.ts'
import type { Outbound } from '../outbound/outbound.ts'
import { AppError, invalidValue } from '../shared/errors.ts'
import { platformId } from '../shared/platform.ts'

/** The members of a registration. A missing `claims.organization` differs from null. */
export type Registration = Pick<
  TrustedIssuer,
  | 'name'
  | 'issuer'
  | 'jwksUri'
  | 'audience'
  | 'algorithms'
  | 'defaultPermissions'
  | 'groupPermissions'
  | 'clientId'
  | 'scope'
> & { claims: Omit<ClaimNames, 'organization'> & { organization: string | null | undefined } }

/** RFC 8725 §3.1 and §3.2: only asymmetric signatures, so that verifiers cannot forge them. */
export const algorithms = [
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
  'ES256',
  'ES384',
  'ES512',
  'EdDSA',
  'Ed25519',
]
export const defaultAlgorithms = ['RS256', 'PS256', 'ES256', 'EdDSA']

export const defaultScope = 'openid email'

/**
 * Each registration has its own redirect URI, so that the code of one issuer is never sent to another (RFC 9700
 * §4.4.2).
 */
export function redirectUriOf(publicUrl: string, id: string): string {
  return `${publicUrl}/console/sign-in/callback/${id}`
}

/** Checks the claims for organization and permissions against where the issuer is registered. */
export function checkedRegistration(
  { claims, ...registration }: Registration,
  organizationId: string,
): Omit<Registration, 'claims'> & { claims: ClaimNames } {
  const { organization } = claims
  const ofPlatform = organizationId === platformId
  if (ofPlatform && organization === undefined)
    throw invalidValue(
      'claims.organization',
      "is required here: the claim with the key of the user's organization, or null for users of the platform itself",
    )
  if (!ofPlatform && organization)
    throw invalidValue(
      'claims.organization',
      'is only for issuers of the platform; here all users belong to this organization',
    )
  rejectMisplacedAdministrators(registration, ofPlatform && organization === null)
  return { ...registration, claims: { ...claims, organization: organization ?? null } }
}

function rejectMisplacedAdministrators(
  { defaultPermissions, groupPermissions }: Omit<Registration, 'claims'>,
  usersOfPlatform: boolean,
): void {
  if (usersOfPlatform) return
  const detail = 'has platform:admin, which only users of the platform organization can have'
  if (defaultPermissions.includes('platform:admin')) throw invalidValue('default_permissions', detail)
  if (groupPermissions.some((group) => group.permissions.includes('platform:admin')))
    throw invalidValue('group_permissions', detail)
}

/** Prevents calls into the operator's network, and our own JWTs from being presented as sign-ins. */
export function rejectUnfitUrls(
  { issuer, jwksUri }: Registration,
  outbound: Outbound,
  ourselves: string,
): void {
  if (issuer === ourselves) throw invalidValue('issuer', 'is the issuer URL of this service itself')
  const flaw = outbound.flawOf(issuer)
  if (flaw) throw invalidValue('issuer', flaw)
  const keyFlaw = jwksUri === null ? undefined : outbound.flawOf(jwksUri)
  if (keyFlaw) throw invalidValue('jwks_uri', keyFlaw)
}

/**
 * An issuer's keys can sign in any of its users, so every registration counts as granting everything in it. Users are
 * limited to their organization and nothing else. As with tokens, granting requires `tokens:write`.
 */
export function rejectUnheldGrants(
  caller: Caller,
  { id, key }: Pick<Organization, 'id' | 'key'>,
  registration: Registration,
): void {
  const granted = grantsOf(registration)
  if (granted.length > 0) requirePermission(caller, 'tokens:write')
  const narrowedTo = id === platformId ? {} : { organizations: [key] }
  rejectEscalation(caller, { permissions: granted, narrowedTo, networks: null })
}

function grantsOf({ defaultPermissions, groupPermissions }: Registration): Permission[] {
  const granted = [...defaultPermissions, ...groupPermissions.flatMap((group) => group.permissions)]
  return permissions.filter((permission) => granted.includes(permission))
}

export function rejectOneMore(count: number): void {
  if (count < most) return
  throw new AppError('limit_reached', `The organization has ${count} of ${most} trusted issuers.`)
}

const most = 100
