import { type Insertable, type SqlBool, sql, type Updateable } from 'kysely'
import type { Db } from '../db/database.ts'
import { type KnownOwner, ownerByTokens, recordedOwner } from '../db/known-owner.ts'
import type { Owner, Tables } from '../db/tables.ts'
import { managementType } from '../shared/platform.ts'

type Key = { organizationId: string; subject: string }

export async function selectKnownOwner(db: Db, { organizationId, subject }: Key): Promise<KnownOwner | null> {
  const record = recordedOwner(sql.val(organizationId), sql.val(subject))
  const { rows } = await sql<{ record: KnownOwner | null }>`select ${record} as record`.execute(db)
  return rows[0]?.record ?? ownerByTokens(db, organizationId, subject)
}

function selectOwner(db: Db, { organizationId, subject }: Key) {
  return db
    .selectFrom('owners')
    .selectAll()
    .where('organizationId', '=', organizationId)
    .where('subject', '=', subject)
}

export async function findOwner(db: Db, key: Key): Promise<Owner | undefined> {
  return selectOwner(db, key).executeTakeFirst()
}

export type OwnerQuery = {
  /** Only this owner. */
  subject: string | undefined
  suspended: boolean | undefined
  /** Any part of the subject or the e-mail address, in any case. */
  search: string | undefined
  /** Only owners after this subject. */
  after: string | undefined
  limit: number
}

/** No index finds these, so a page examines a limited number of owners. */
const maxExamined = 10_000

/** Ordered by subject; one row more than `limit` if there are more. */
export async function selectOwners(db: Db, organizationId: string, query: OwnerQuery): Promise<Owner[]> {
  const { search, suspended, limit } = query
  return db
    .selectFrom(examined(db, organizationId, query).limit(maxExamined).as('examined'))
    .selectAll()
    .$if(suspended === false, (owners) => owners.where('suspendedAt', 'is', null))
    .$if(search !== undefined, (owners) =>
      owners.where(
        sql<SqlBool>`(position(lower(${search}) in lower(subject)) > 0 or position(lower(${search}) in lower(email)) > 0)`,
      ),
    )
    .orderBy('subject')
    .limit(limit + 1)
    .execute()
}

/** The subject at which a page that found too few ended; undefined if it examined all. */
export async function lastExamined(
  db: Db,
  organizationId: string,
  query: OwnerQuery,
): Promise<string | undefined> {
  const [last, next] = await examined(db, organizationId, query)
    .select('subject')
    .offset(maxExamined - 1)
    .limit(2)
    .execute()
  return next && last?.subject
}

function examined(db: Db, organizationId: string, { subject, suspended, after }: OwnerQuery) {
  return db
    .selectFrom('owners')
    .selectAll()
    .where('organizationId', '=', organizationId)
    .$if(subject !== undefined, (owners) => owners.where('subject', '=', subject as string))
    .$if(suspended === true, (owners) => owners.where('suspendedAt', 'is not', null))
    .$if(after !== undefined, (owners) => owners.where('subject', '>', after as string))
    .orderBy('subject')
}

/** Locks the row until the end of the transaction, so that a change is based on what it replaces. */
export async function lockOwner(tx: Db, key: Key): Promise<Owner | undefined> {
  return selectOwner(tx, key).forUpdate().executeTakeFirst()
}

/** Creates the record of an owner who has tokens but no record. */
export async function insertOwnerOfTokens(
  db: Db,
  { organizationId, subject }: Key,
  now: Date,
): Promise<void> {
  const known = await ownerByTokens(db, organizationId, subject)
  if (!known) return
  const { email, source: identitySource } = known
  await db
    .insertInto('owners')
    .values({ organizationId, subject, email, identitySource, createdAt: now, updatedAt: now })
    .onConflict((conflict) => conflict.doNothing())
    .execute()
}

/** Undefined if there is a record already. */
export async function insertOwner(tx: Db, owner: Insertable<Tables['owners']>): Promise<Owner | undefined> {
  return tx
    .insertInto('owners')
    .values(owner)
    .onConflict((conflict) => conflict.doNothing())
    .returningAll()
    .executeTakeFirst()
}

/** Locks the owners of a user of the directory, in an order that keeps concurrent changes from a deadlock. */
export async function lockOwnersOfUser(
  tx: Db,
  organizationId: string,
  directoryUserId: string,
): Promise<Owner[]> {
  return tx
    .selectFrom('owners')
    .selectAll()
    .where('organizationId', '=', organizationId)
    .where('directoryUserId', '=', directoryUserId)
    .orderBy('subject')
    .forUpdate()
    .execute()
}

/** Whether the owner has tokens that are neither revoked nor expired. */
export async function hasUsableTokens(tx: Db, { organizationId, subject }: Key, now: Date): Promise<boolean> {
  const found = await tx
    .selectFrom('tokens')
    .select('id')
    .where('organizationId', '=', organizationId)
    .where('ownerSubject', '=', subject)
    .where('revokedAt', 'is', null)
    .where(sql<boolean>`coalesce(expires_at, 'infinity') > ${now}`)
    .limit(1)
    .executeTakeFirst()
  return found !== undefined
}

export type OwnerFacts = Pick<Owner, 'organizationId' | 'subject' | 'email' | 'identitySource'>

/** Creates the records of owners, or adds the facts in a request to them. The source `sso` is never replaced. */
export async function upsertOwners(tx: Db, owners: OwnerFacts[], now: Date): Promise<void> {
  await tx
    .insertInto('owners')
    .values(owners.map((owner) => ({ ...owner, createdAt: now, updatedAt: now })))
    .onConflict((conflict) =>
      conflict.columns(['organizationId', 'subject']).doUpdateSet((row) => ({
        email: sql`coalesce(excluded.email, owners.email)`,
        identitySource: sql`case owners.identity_source when 'sso' then 'sso' else excluded.identity_source end`,
        version: sql`owners.version + 1`,
        updatedAt: row.ref('excluded.updatedAt'),
      })),
    )
    .execute()
}

export async function updateOwner(
  tx: Db,
  { organizationId, subject, version }: Owner,
  change: Updateable<Tables['owners']>,
): Promise<Owner> {
  return tx
    .updateTable('owners')
    .set({ ...change, version: version + 1 })
    .where('organizationId', '=', organizationId)
    .where('subject', '=', subject)
    .returningAll()
    .executeTakeFirstOrThrow()
}

/** The permissions of the owner's management tokens that are neither revoked nor expired. */
export async function selectManagementScopes(
  tx: Db,
  { organizationId, subject }: Key,
  now: Date,
): Promise<string[]> {
  const rows = await tx
    .selectFrom('tokens')
    .select(sql<string>`unnest(scopes)`.as('scope'))
    .distinct()
    .where('organizationId', '=', organizationId)
    .where('ownerSubject', '=', subject)
    .where('type', '=', managementType)
    .where('revokedAt', 'is', null)
    .where(sql<boolean>`coalesce(expires_at, 'infinity') > ${now}`)
    .execute()
  return rows.map(({ scope }) => scope)
}
