import { type Insertable, sql, type Updateable } from 'kysely'
import { validate as isUuid } from 'uuid'
import type { Db } from '../db/database.ts'
import { hasKey } from '../db/organization-key.ts'
import { statement } from '../db/statement.ts'
import type { Organization, Tables } from '../db/tables.ts'

const columns = [
  'id',
  'key',
  'name',
  'suspendedAt',
  'policy',
  'policyVersion',
  'version',
  'createdAt',
  'updatedAt',
] as const satisfies (keyof Organization)[]

const selectByKey = statement<{ key: string }, Organization>('organization-by-key', (builder, parameter) =>
  builder
    .selectFrom('organizations')
    .select(columns)
    .where(hasKey(sql`${parameter('key')}`))
    .compile(),
)

const selectById = statement<{ id: string }, Organization>('organization-by-id', (builder, parameter) =>
  builder.selectFrom('organizations').select(columns).where('id', '=', parameter('id')).compile(),
)

export async function findOrganization(db: Db, keyOrId: string): Promise<Organization | undefined> {
  const [byId] = isUuid(keyOrId) ? await selectById(db, { id: keyOrId }) : []
  return byId ?? (await selectByKey(db, { key: keyOrId }))[0]
}

/** The stored keys of organizations that equal one of these in any case. */
export async function selectKnownKeys(db: Db, keys: string[]): Promise<string[]> {
  if (keys.length === 0) return []
  const rows = await db
    .selectFrom('organizations')
    .select('key')
    .where((where) => where.or(keys.map((key) => hasKey(sql.val(key)))))
    .execute()
  return rows.map(({ key }) => key)
}

/** Locks the row until the end of the transaction, so that a change is based on what it replaces. */
export async function lockOrganization(tx: Db, id: string): Promise<Organization | undefined> {
  return tx.selectFrom('organizations').selectAll().where('id', '=', id).forUpdate().executeTakeFirst()
}

const selectHeld = statement<{ id: string }, Organization>('organization-held', (builder, parameter) =>
  builder.selectFrom('organizations').select(columns).where('id', '=', parameter('id')).forShare().compile(),
)

/** Keeps the row unchanged until the end of the transaction; other transactions may do so at the same time. */
export async function holdOrganization(tx: Db, id: string): Promise<Organization | undefined> {
  const [held] = await selectHeld(tx, { id })
  return held
}

/** Ordered by key; one row more than `limit` if there are more. */
export async function selectOrganizations(
  db: Db,
  { after, limit }: { after?: string; limit: number },
): Promise<Organization[]> {
  return db
    .selectFrom('organizations')
    .selectAll()
    .$if(after !== undefined, (query) => query.where('key', '>', after as string))
    .orderBy('key')
    .limit(limit + 1)
    .execute()
}

/** Undefined if the key is taken. */
export async function insertOrganization(
  db: Db,
  organization: Insertable<Tables['organizations']>,
): Promise<Organization | undefined> {
  return db
    .insertInto('organizations')
    .values(organization)
    .onConflict((conflict) => conflict.doNothing())
    .returningAll()
    .executeTakeFirst()
}

export async function updateOrganization(
  db: Db,
  { id, version }: Organization,
  change: Updateable<Tables['organizations']>,
): Promise<Organization> {
  return db
    .updateTable('organizations')
    .set({ ...change, version: version + 1 })
    .where('id', '=', id)
    .returningAll()
    .executeTakeFirstOrThrow()
}

/** The tables in which organizations can have large numbers of rows, with the column that identifies a row. */
const contents = {
  tokens: 'id',
  idempotency_keys: 'hash',
  owners: 'subject',
  deliveries: 'position',
  mails: 'event_id',
} as const

export const contentTables = Object.keys(contents) as (keyof typeof contents)[]

/**
 * Deletes at most `limit` rows of an organization that is being deleted, and returns how many it deleted. These
 * deletions are not announced to the feed or other instances, so the organization must be suspended and locked.
 */
export async function deleteContents(
  tx: Db,
  table: keyof typeof contents,
  id: string,
  limit: number,
): Promise<number> {
  await sql`select set_config('counterfoil.deleting_organization', ${id}, true)`.execute(tx)
  const column = sql.ref(contents[table])
  const { numAffectedRows } = await sql`
    delete from ${sql.table(table)} where organization_id = ${id} and ${column} = any(array(
      select ${column} from ${sql.table(table)} where organization_id = ${id} order by ${column} limit ${limit}))`.execute(
    tx,
  )
  return Number(numAffectedRows)
}

/** Deletes its remaining contents, too. */
export async function deleteOrganization(db: Db, id: string): Promise<void> {
  await db.deleteFrom('organizations').where('id', '=', id).execute()
}
