import type { User } from '../access/caller.ts'
import type { Db } from '../db/database.ts'
import type { Session, TrustedIssuer } from '../db/tables.ts'
import { AppError } from '../shared/errors.ts'
import { isOrganizationKey } from '../shared/organization-key.ts'
import { platformId } from '../shared/platform.ts'
import { userOf } from './sign-in.ts'
import * as store from './store.ts'

/** A trusted issuer that people can sign in to the console with. */
export type ConsoleIssuer = TrustedIssuer & { clientId: string }

/**
 * The issuers of the platform, and of the organization with this key or id; one that does not exist has none, so that
 * strangers do not learn which exist.
 */
export async function consoleIssuers(db: Db, organization: string | undefined): Promise<ConsoleIssuer[]> {
  const known = organization !== undefined && isOrganizationKey(organization)
  return (await store.selectForConsole(db, known ? organization : undefined)).filter(isForConsole)
}

export async function findConsoleIssuer(
  db: Db,
  organization: string | undefined,
  id: string,
): Promise<ConsoleIssuer | undefined> {
  return (await consoleIssuers(db, organization)).find((issuer) => issuer.id === id)
}

/** Whether any organization has an issuer of its own, so that the sign-in screen asks for the organization. */
export async function hasOrganizationIssuers(db: Db): Promise<boolean> {
  return store.hasOrganizationIssuers(db)
}

/** The issuer to whose redirect URI a browser was sent back. */
export async function findIssuerById(db: Db, id: string): Promise<ConsoleIssuer | undefined> {
  const issuer = await store.findIssuerById(db, id)
  return issuer && isForConsole(issuer) ? issuer : undefined
}

/**
 * The issuer of the user of a session, which belongs to their organization or to the platform. If the registration now
 * names another issuer or client, the result is undefined: that one does not know the user, and must not receive their
 * tokens.
 */
export async function findIssuerOfSession(
  db: Db,
  { organizationId, issuerId, claims }: Session,
): Promise<ConsoleIssuer | undefined> {
  if (issuerId === null || claims === null) return undefined
  const issuer = await findIssuerById(db, issuerId)
  const isSame =
    issuer &&
    [organizationId, platformId].includes(issuer.organizationId) &&
    claims.iss === issuer.issuer &&
    [claims.aud].flat().includes(issuer.clientId)
  return isSame ? issuer : undefined
}

/**
 * The user of a session, according to the current registration, organization and suspensions; undefined if they could
 * no longer sign in.
 */
export async function currentUser(db: Db, session: Session): Promise<User | undefined> {
  const { claims, organizationId, subject } = session
  const registration = await findIssuerOfSession(db, session)
  if (!registration || claims === null) return undefined
  try {
    const user = await userOf(db, registration, claims)
    return user.organizationId === organizationId && user.ownerSubject === subject ? user : undefined
  } catch (error) {
    if (error instanceof AppError && error.code === 'invalid_token') return undefined
    throw error
  }
}

function isForConsole(issuer: TrustedIssuer): issuer is ConsoleIssuer {
  return issuer.clientId !== null
}
