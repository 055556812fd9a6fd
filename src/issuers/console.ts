import type { User } from '../access/caller.ts'
import type { Db } from '../db/database.ts'
import type { Session, TrustedIssuer } from '../db/tables.ts'
import { AppError } from '../shared/errors.ts'
import { isOrganizationKey } from '../shared/organization-key.ts'
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

/** Whether any organization has an issuer of its own, so that it makes sense to ask a person for theirs. */
export async function hasOrganizationIssuers(db: Db): Promise<boolean> {
  return store.hasOrganizationIssuers(db)
}

/** The issuer of a sign-in, which was of the organization of the user or of the platform. */
export async function findIssuerOfSignIn(
  db: Db,
  { organizationId, issuerId }: { organizationId: string; issuerId: string | null },
): Promise<ConsoleIssuer | undefined> {
  const issuer =
    issuerId === null ? undefined : await store.findIssuerFor(db, { organizationId, id: issuerId })
  return issuer && isForConsole(issuer) ? issuer : undefined
}

/**
 * The user of a session, as their issuer, its grants, their organization and their suspension are now; undefined if they
 * could not sign in any more. An issuer that was replaced by another one does not vouch for users of the former.
 */
export async function currentUser(db: Db, session: Session): Promise<User | undefined> {
  const { claims, organizationId, subject } = session
  const registration = await findIssuerOfSignIn(db, session)
  if (!registration || claims === null) return undefined
  if (claims.iss !== registration.issuer || ![claims.aud].flat().includes(registration.clientId))
    return undefined
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
