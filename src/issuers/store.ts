import { type Insertable, sql, type Updateable } from 'kysely'
import type { Db } from '../db/database.ts'
import { hasKey, hasKeyOrId } from '../db/organization-key.ts'
import type { Tables, TrustedIssuer } from '../db/tables.ts'
import { platformId } from '../shared/platform.ts'

type Key = { organizationId: string; id: string }
type Organization = { id: string; suspendedAt: Date | null; ownerSuspendedAt: Date | null }

export async function findIssuer(db: Db, key: Key): Promise<TrustedIssuer | undefined> {
  return selectIssuer(db, key).executeTakeFirst()
}

/** Locks the row until the end of the transaction, so that a change is based on what it replaces. */
export async function lockIssuer(tx: Db, key: Key): Promise<TrustedIssuer | undefined> {
  return selectIssuer(tx, key).forUpdate().executeTakeFirst()
}

function selectIssuer(db: Db, { organizationId, id }: Key) {
  return db
    .selectFrom('trustedIssuers')
    .selectAll()
    .where('organizationId', '=', organizationId)
    .where('id', '=', id)
}

export async function selectIssuers(db: Db, organizationId: string): Promise<TrustedIssuer[]> {
  return db
    .selectFrom('trustedIssuers')
    .selectAll()
    .where('organizationId', '=', organizationId)
    .orderBy('issuer')
    .orderBy('audience')
    .execute()
}

/** The registrations of this `iss`: the platform's, and that of the organization with this key or id. */
export async function selectRegistrations(
  db: Db,
  issuer: string,
  organization: string | undefined,
): Promise<TrustedIssuer[]> {
  return db
    .selectFrom('trustedIssuers')
    .selectAll('trustedIssuers')
    .innerJoin('organizations', 'organizations.id', 'trustedIssuers.organizationId')
    .where('trustedIssuers.issuer', '=', issuer)
    .where((where) =>
      where.or([
        where('organizations.id', '=', platformId),
        ...(organization === undefined ? [] : [hasKeyOrId(organization)]),
      ]),
    )
    .execute()
}

/** The organization, and whether the owner with this subject is suspended in it. */
export async function findOrganization(
  db: Db,
  by: { id: string } | { key: string },
  subject: string,
): Promise<Organization | undefined> {
  return db
    .selectFrom('organizations')
    .leftJoin('owners', (join) =>
      join.onRef('owners.organizationId', '=', 'organizations.id').on('owners.subject', '=', subject),
    )
    .select(['id', 'organizations.suspendedAt', 'owners.suspendedAt as ownerSuspendedAt'])
    .where((where) => ('id' in by ? where('organizations.id', '=', by.id) : hasKey(sql.val(by.key))))
    .executeTakeFirst()
}

export async function countIssuers(db: Db, organizationId: string): Promise<number> {
  const { count } = await db
    .selectFrom('trustedIssuers')
    .select(sql<number>`count(*)::int`.as('count'))
    .where('organizationId', '=', organizationId)
    .executeTakeFirstOrThrow()
  return count
}

/** Whether the organization has registered this issuer for this audience already, other than in `except`. */
export async function isRegistered(
  db: Db,
  { organizationId, issuer, audience }: { organizationId: string; issuer: string; audience: string },
  except?: string,
): Promise<boolean> {
  const found = await db
    .selectFrom('trustedIssuers')
    .select('id')
    .where('organizationId', '=', organizationId)
    .where('issuer', '=', issuer)
    .where('audience', '=', audience)
    .$if(except !== undefined, (query) => query.where('id', '<>', except as string))
    .executeTakeFirst()
  return found !== undefined
}

export async function insertIssuer(
  tx: Db,
  issuer: Insertable<Tables['trustedIssuers']>,
): Promise<TrustedIssuer> {
  return tx.insertInto('trustedIssuers').values(issuer).returningAll().executeTakeFirstOrThrow()
}

export async function updateIssuer(
  tx: Db,
  { organizationId, id, version }: TrustedIssuer,
  change: Updateable<Tables['trustedIssuers']>,
): Promise<TrustedIssuer> {
  return tx
    .updateTable('trustedIssuers')
    .set({ ...change, version: version + 1 })
    .where('organizationId', '=', organizationId)
    .where('id', '=', id)
    .returningAll()
    .executeTakeFirstOrThrow()
}

/** Does not change the version: what clients see stays the same. */
export async function resealIssuer(tx: Db, { organizationId, id }: Key, clientSecret: string): Promise<void> {
  await tx
    .updateTable('trustedIssuers')
    .set({ clientSecret })
    .where('organizationId', '=', organizationId)
    .where('id', '=', id)
    .execute()
}

export async function lockIssuersWithSecret(tx: Db): Promise<TrustedIssuer[]> {
  return tx
    .selectFrom('trustedIssuers')
    .selectAll()
    .where('clientSecret', 'is not', null)
    .orderBy('organizationId')
    .orderBy('id')
    .forUpdate()
    .execute()
}

/** The issuers that people may sign in to the console with: those of the platform and of the organization. */
export async function selectForConsole(db: Db, organization: string | undefined): Promise<TrustedIssuer[]> {
  return db
    .selectFrom('trustedIssuers')
    .selectAll('trustedIssuers')
    .innerJoin('organizations', 'organizations.id', 'trustedIssuers.organizationId')
    .where('clientId', 'is not', null)
    .where((where) =>
      where.or([
        where('organizations.id', '=', platformId),
        ...(organization === undefined ? [] : [hasKeyOrId(organization)]),
      ]),
    )
    .where('organizations.suspendedAt', 'is', null)
    .orderBy('trustedIssuers.name')
    .orderBy('trustedIssuers.id')
    .execute()
}

/** The registration with this id, of any organization. */
export async function findIssuerById(db: Db, id: string): Promise<TrustedIssuer | undefined> {
  return db.selectFrom('trustedIssuers').selectAll().where('id', '=', id).executeTakeFirst()
}

export async function hasOrganizationIssuers(db: Db): Promise<boolean> {
  const found = await db
    .selectFrom('trustedIssuers')
    .select('id')
    .where('clientId', 'is not', null)
    .where('organizationId', '<>', platformId)
    .limit(1)
    .executeTakeFirst()
  return found !== undefined
}

export async function deleteIssuer(tx: Db, { organizationId, id }: Key): Promise<void> {
  await tx
    .deleteFrom('trustedIssuers')
    .where('organizationId', '=', organizationId)
    .where('id', '=', id)
    .execute()
}
