import { type Insertable, sql, type Updateable } from 'kysely'
import type { Db } from '../db/database.ts'
import { hasKeyOrId } from '../db/organization-key.ts'
import type { Owner, SignalStream, Tables, TrustedIssuer } from '../db/tables.ts'
import { platformId } from '../shared/platform.ts'

type Key = { organizationId: string; issuerId: string }

/** A stream with the issuer that sends its events. */
export type IssuerStream = { stream: SignalStream; issuer: TrustedIssuer }

export async function findStream(
  db: Db,
  { organizationId, issuerId }: Key,
): Promise<SignalStream | undefined> {
  return selectStream(db, { organizationId, issuerId }).executeTakeFirst()
}

export async function lockStream(tx: Db, key: Key): Promise<SignalStream | undefined> {
  return selectStream(tx, key).forUpdate().executeTakeFirst()
}

function selectStream(db: Db, { organizationId, issuerId }: Key) {
  return db
    .selectFrom('signalStreams')
    .selectAll()
    .where('organizationId', '=', organizationId)
    .where('issuerId', '=', issuerId)
}

/** An enabled stream of an organization, given by key or id, that is not suspended. */
export async function findEnabledStream(
  db: Db,
  organization: string,
  issuerId: string,
): Promise<IssuerStream | undefined> {
  const stream = await db
    .selectFrom('signalStreams')
    .innerJoin('organizations', 'organizations.id', 'signalStreams.organizationId')
    .selectAll('signalStreams')
    .where('issuerId', '=', issuerId)
    .where('enabled', '=', true)
    .where('organizations.suspendedAt', 'is', null)
    .where(() => hasKeyOrId(organization))
    .executeTakeFirst()
  return stream && withIssuer(db, stream)
}

async function withIssuer(db: Db, stream: SignalStream): Promise<IssuerStream | undefined> {
  const issuer = await findIssuer(db, stream)
  return issuer && { stream, issuer }
}

export async function findIssuer(db: Db, key: Key): Promise<TrustedIssuer | undefined> {
  return selectIssuer(db, key).executeTakeFirst()
}

/** Locks the issuer, so that its stream is created once. */
export async function lockIssuer(tx: Db, key: Key): Promise<void> {
  await selectIssuer(tx, key).forUpdate().executeTakeFirst()
}

function selectIssuer(db: Db, { organizationId, issuerId }: Key) {
  return db
    .selectFrom('trustedIssuers')
    .selectAll()
    .where('organizationId', '=', organizationId)
    .where('id', '=', issuerId)
}

export async function insertStream(
  tx: Db,
  stream: Insertable<Tables['signalStreams']>,
): Promise<SignalStream> {
  return tx.insertInto('signalStreams').values(stream).returningAll().executeTakeFirstOrThrow()
}

/** Locks every stream that has a credential until the end of the transaction, in an order. */
export async function lockStreamsWithCredentials(tx: Db): Promise<SignalStream[]> {
  return tx
    .selectFrom('signalStreams')
    .selectAll()
    .where('pollAuthorization', 'is not', null)
    .orderBy('organizationId')
    .orderBy('issuerId')
    .forUpdate()
    .execute()
}

/** Undefined if there is no such stream any more. */
export async function updateStream(
  tx: Db,
  { organizationId, issuerId }: Key,
  change: Updateable<Tables['signalStreams']>,
): Promise<SignalStream | undefined> {
  return tx
    .updateTable('signalStreams')
    .set(change)
    .where('organizationId', '=', organizationId)
    .where('issuerId', '=', issuerId)
    .returningAll()
    .executeTakeFirst()
}

export async function deleteStream(tx: Db, { organizationId, issuerId }: Key): Promise<void> {
  await tx
    .deleteFrom('signalStreams')
    .where('organizationId', '=', organizationId)
    .where('issuerId', '=', issuerId)
    .execute()
}

export type Counted = 'received' | 'duplicates' | 'unknownSubjects'

export async function count(
  tx: Db,
  { organizationId, issuerId }: Key,
  counted: Counted[],
  more: Updateable<Tables['signalStreams']>,
): Promise<void> {
  await tx
    .updateTable('signalStreams')
    .set((row) => ({
      ...more,
      ...Object.fromEntries(counted.map((name) => [name, sql`${row.ref(name)} + 1`])),
    }))
    .where('organizationId', '=', organizationId)
    .where('issuerId', '=', issuerId)
    .execute()
}

export async function isRemembered(
  db: Db,
  { organizationId, issuerId }: Key,
  jtiHash: Buffer,
): Promise<boolean> {
  const found = await db
    .selectFrom('securityEvents')
    .select('receivedAt')
    .where('organizationId', '=', organizationId)
    .where('issuerId', '=', issuerId)
    .where('jtiHash', '=', jtiHash)
    .executeTakeFirst()
  return found !== undefined
}

/** False if the event was recorded already. */
export async function remember(
  tx: Db,
  { organizationId, issuerId }: Key,
  event: { jtiHash: Buffer; receivedAt: Date },
): Promise<boolean> {
  const { numInsertedOrUpdatedRows: inserted } = await tx
    .insertInto('securityEvents')
    .values({ organizationId, issuerId, ...event })
    .onConflict((conflict) => conflict.doNothing())
    .executeTakeFirst()
  return inserted === 1n
}

export async function deleteEventsBefore(db: Db, before: Date, limit: number): Promise<number> {
  const { rows } = await sql`
    delete from security_events where ctid = any(array(
      select ctid from security_events where received_at < ${before} limit ${limit}))
    returning 1`.execute(db)
  return rows.length
}

const maxOwners = 1000

/**
 * Locks the owners that an event of the issuer names: by subject, by a name or id that their user has in the directory, or
 * by e-mail address. In an order that keeps concurrent changes from a deadlock.
 */
export async function lockNamedOwners(
  tx: Db,
  issuer: TrustedIssuer,
  { subjects, emails, tenant }: { subjects: string[]; emails: string[]; tenant: string | undefined },
): Promise<Owner[]> {
  const names = [...subjects, ...emails]
  const lowered = (texts: string[]) => texts.map((text) => text.toLowerCase())
  const { rows } = await sql<Pick<Owner, 'organizationId' | 'subject'>>`
    with reached as materialized (select id from organizations where ${isReachedBy(issuer, tenant)})
    select organization_id, subject from reached
    cross join lateral (
      select organization_id, subject from owners where organization_id = reached.id and subject = any(${names})
      union
      select organization_id, subject from owners where organization_id = reached.id and lower(email) = any(${lowered(emails)})
      union
      select owners.organization_id, owners.subject from directory_users u
      join owners on owners.organization_id = u.organization_id and owners.directory_user_id = u.id
      where u.organization_id = reached.id
        and (u.external_id = any(${subjects}) or lower(u.user_name) = any(${lowered(names)}))
    ) as named
    order by organization_id, subject limit ${maxOwners}`.execute(tx)
  if (rows.length === 0) return []
  return tx
    .selectFrom('owners')
    .selectAll()
    .where(({ eb, refTuple, tuple }) =>
      eb(
        refTuple('organizationId', 'subject'),
        'in',
        rows.map(({ organizationId, subject }) => tuple(organizationId, subject)),
      ),
    )
    .orderBy('organizationId')
    .orderBy('subject')
    .forUpdate()
    .execute()
}

/** An issuer of the platform has users in any organization, or in the one that the event names. */
function isReachedBy({ organizationId, claims }: TrustedIssuer, tenant: string | undefined) {
  if (organizationId !== platformId) return sql<boolean>`id = ${organizationId}`
  const isTheirs = claims.organization === null ? sql`true` : sql`id <> ${platformId}`
  return sql<boolean>`${isTheirs} and ${tenant === undefined ? sql`true` : hasKeyOrId(tenant)}`
}

export async function setSignalledAt(
  tx: Db,
  { organizationId, subject }: Owner,
  signalledAt: Date,
): Promise<void> {
  await tx
    .updateTable('owners')
    .set({ signalledAt })
    .where('organizationId', '=', organizationId)
    .where('subject', '=', subject)
    .execute()
}

/** Takes the stream that is due to be polled for the longest time, until `until`, so that only one instance polls it. */
export async function claimDue(db: Db, now: Date, until: Date): Promise<IssuerStream | undefined> {
  const {
    rows: [stream],
  } = await sql<SignalStream>`
    update signal_streams set poll_at = ${until} where (organization_id, issuer_id) in (
      select organization_id, issuer_id from signal_streams
      where enabled and poll_url is not null and poll_at <= ${now}
        and exists (select from organizations where id = organization_id and suspended_at is null)
      order by poll_at limit 1 for update skip locked)
    returning *`.execute(db)
  return stream && withIssuer(db, stream)
}
