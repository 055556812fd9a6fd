import type { JWTPayload } from 'jose'
import { validate as isUuid } from 'uuid'
import type { User } from '../access/caller.ts'
import type { Db } from '../db/database.ts'
import type { TrustedIssuer } from '../db/tables.ts'
import type { Deps } from '../deps.ts'
import { badCredential } from '../errors.ts'
import type { Secret } from '../tokens/secret.ts'
import { createKeys } from './keys.ts'
import { findOrganization, selectRegistrations } from './store.ts'
import { isKey, isOfPlatform, organizationNamed, userFrom } from './user.ts'
import { type Address, addressOf, verifySignIn } from './verify.ts'

/** A user, and who vouches for them. */
export type SignedIn = { user: User; issuer: string }

/** Who presents this at an address of that organization (its key or id); undefined if it is nobody's sign-in. */
export type SignIn = (
  secret: Secret,
  organization: string | undefined,
  now: Date,
) => Promise<SignedIn | undefined>

/** Makes users of tokens that trusted issuers gave them. */
export function createSignIn({ db, outbound, issuer }: Pick<Deps, 'db' | 'outbound' | 'issuer'>): SignIn {
  const keysOf = createKeys(outbound)
  return async (secret, organization, now) => {
    const address = addressOf(secret)
    // One of our own was not found, and so is not good; its signature would still say that it is.
    if (!address || address.issuer === issuer) return undefined
    const registration = await registrationFor(db, address, organization)
    if (!registration) return undefined
    const payload = await verifySignIn(secret, registration, keysOf(registration), now)
    const organizationId = await organizationOf(db, registration, payload)
    return { user: { ...userFrom(payload, registration), organizationId }, issuer: registration.issuer }
  }
}

/**
 * What decides about a token: a registration of the platform, or else one of the organization that the request is
 * about. That of another organization never does, whatever it says.
 */
async function registrationFor(
  db: Db,
  { issuer, audience }: Address,
  organization: string | undefined,
): Promise<TrustedIssuer | undefined> {
  const known = organization !== undefined && (isKey(organization) || isUuid(organization))
  const registrations = await selectRegistrations(db, issuer, known ? organization : undefined)
  const named = new Set(audience)
  const meant = registrations.filter((registration) => named.has(registration.audience))
  const ofPlatform = meant.filter(isOfPlatform)
  const [one, another] = ofPlatform.length > 0 ? ofPlatform : meant
  if (another) throw badCredential('it is for more than one audience that is registered')
  return one
}

async function organizationOf(
  db: Db,
  { claims, organizationId }: TrustedIssuer,
  payload: JWTPayload,
): Promise<string> {
  const by = claims.organization === null ? organizationId : organizationNamed(payload, claims.organization)
  const organization = by === undefined ? undefined : await findOrganization(db, by)
  if (!organization) throw badCredential('it names no organization that exists')
  if (organization.suspendedAt) throw badCredential('its organization is suspended')
  return organization.id
}
