import type { JWTPayload, JWTVerifyGetKey } from 'jose'
import type { User } from '../access/caller.ts'
import type { Db } from '../db/database.ts'
import type { TrustedIssuer } from '../db/tables.ts'
import type { Outbound } from '../outbound/outbound.ts'
import { badCredential } from '../shared/errors.ts'
import { isOrganizationKey } from '../shared/organization-key.ts'
import type { Secret } from '../shared/secret.ts'
import { createBulkhead } from './bulkhead.ts'
import { createMetadata } from './metadata.ts'
import { findOrganization, selectRegistrations } from './store.ts'
import { isOfPlatform, organizationNamed, userFrom } from './user.ts'
import { type Address, addressOf, verifySignIn } from './verify.ts'

/**
 * Identifies who presents this secret at a path of that organization (by key or id); undefined if it is not a sign-in.
 */
export type SignIn = (
  secret: Secret,
  organization: string | undefined,
  now: Date,
) => Promise<User | undefined>

type SignInDeps = { db: Db; outbound: Outbound; issuer: string }

/** Turns tokens of trusted issuers into users. */
export function createSignIn({ db, outbound, issuer }: SignInDeps): SignIn {
  const keysOf = createIssuerKeys(outbound)
  return async (secret, organization, now) => {
    const address = addressOf(secret)
    // A JWT issued here that was not found is not good, although its signature would still verify.
    if (!address || address.issuer === issuer) return undefined
    const registration = await registrationFor(db, address, organization)
    if (!registration) return undefined
    const payload = await verifySignIn(secret, registration, keysOf(registration), now)
    return userOf(db, registration, payload)
  }
}

/**
 * The registration that applies to a token: one of the platform, or else one of the organization in the request. Other
 * organizations' registrations never apply.
 */
async function registrationFor(
  db: Db,
  { issuer, audience }: Address,
  organization: string | undefined,
): Promise<TrustedIssuer | undefined> {
  const known = organization !== undefined && isOrganizationKey(organization)
  const registrations = await selectRegistrations(db, issuer, known ? organization : undefined)
  const named = new Set(audience)
  const meant = registrations.filter((registration) => named.has(registration.audience))
  const ofPlatform = meant.filter(isOfPlatform)
  const [one, another] = ofPlatform.length > 0 ? ofPlatform : meant
  if (another) throw badCredential('it matches more than one registered audience')
  return one
}

/** The user that verified claims describe, as their organization and the registration are now. */
export async function userOf(db: Db, registration: TrustedIssuer, payload: JWTPayload): Promise<User> {
  const user = userFrom(payload, registration)
  return { ...user, organizationId: await organizationOf(db, registration, payload, user.ownerSubject) }
}

async function organizationOf(
  db: Db,
  { claims, organizationId }: TrustedIssuer,
  payload: JWTPayload,
  subject: string,
): Promise<string> {
  const key = claims.organization === null ? undefined : organizationNamed(payload, claims.organization)
  const by = claims.organization === null ? { id: organizationId } : key !== undefined && { key }
  const organization = by ? await findOrganization(db, by, subject) : undefined
  if (!organization) throw badCredential('it names no organization that exists')
  if (organization.suspendedAt) throw badCredential('its organization is suspended')
  if (organization.ownerSuspendedAt) throw badCredential('its user is suspended in the organization')
  return organization.id
}

/** The keys of registered issuers, fetched on demand and cached. */
export function createIssuerKeys(outbound: Outbound): (registration: TrustedIssuer) => JWTVerifyGetKey {
  const metadataOf = createMetadata(outbound)
  const wait = createBulkhead()
  return ({ organizationId, issuer, jwksUri }) =>
    (header, token) =>
      wait(organizationId, async () => {
        const uri = jwksUri ?? (await metadataOf(issuer, organizationId)).jwks_uri
        return outbound.jwks(uri, organizationId)(header, token)
      })
}
