import { isDeepStrictEqual } from 'node:util'
import { type Insertable, type RawBuilder, type SqlBool, sql, type Updateable } from 'kysely'
import type { Db } from '../db/database.ts'
import type { DirectoryUser, Tables } from '../db/tables.ts'

/** An attribute of a user (RFC 7643 §7). */
export type Simple = {
  name: string
  type: 'string' | 'boolean' | 'dateTime'
  caseExact?: boolean
  description: string
}
export type Complex = {
  name: string
  type: 'complex'
  multiValued: boolean
  subAttributes: Simple[]
  description: string
}
export type Attribute = Simple | Complex

export type Path = { attribute: Attribute; sub?: Simple }

export type Comparison = 'eq' | 'ne' | 'co' | 'sw' | 'ew' | 'gt' | 'ge' | 'lt' | 'le'

/** A filter of RFC 7644 §3.4.2.2 whose attributes exist. */
export type Filter =
  | { op: 'and'; filters: Filter[] }
  | { op: 'or'; filters: Filter[] }
  | { op: 'not'; filter: Filter }
  | { op: 'pr'; path: Path }
  | { op: Comparison; path: Path; value: string | boolean | null }
  /** Whether an element of a multi-valued attribute matches; paths in it name the attribute too. */
  | { op: 'any'; attribute: Attribute; filter: Filter }

type Key = { organizationId: string; id: string }

export async function findUser(db: Db, key: Key): Promise<DirectoryUser | undefined> {
  return selectUser(db, key).executeTakeFirst()
}

export async function lockUser(tx: Db, key: Key): Promise<DirectoryUser | undefined> {
  return selectUser(tx, key).forUpdate().executeTakeFirst()
}

function selectUser(db: Db, { organizationId, id }: Key) {
  return db
    .selectFrom('directoryUsers')
    .selectAll()
    .where('organizationId', '=', organizationId)
    .where('id', '=', id)
}

/** Whether another user of the directory has the same external id. */
export async function hasDouble(tx: Db, { organizationId, id, externalId }: DirectoryUser): Promise<boolean> {
  const found = await tx
    .selectFrom('directoryUsers')
    .select('id')
    .where('organizationId', '=', organizationId)
    .where('externalId', '=', externalId)
    .where('id', '<>', id)
    .executeTakeFirst()
  return found !== undefined
}

/** Undefined if the name is taken. */
export async function insertUser(
  tx: Db,
  user: Insertable<Tables['directoryUsers']>,
): Promise<DirectoryUser | undefined> {
  return tx
    .insertInto('directoryUsers')
    .values(user)
    .onConflict((conflict) => conflict.doNothing())
    .returningAll()
    .executeTakeFirst()
}

/** Undefined, and the transaction is lost, if the name is taken. */
export async function updateUser(
  tx: Db,
  { organizationId, id, version }: DirectoryUser,
  change: Updateable<Tables['directoryUsers']>,
): Promise<DirectoryUser | undefined> {
  return tx
    .updateTable('directoryUsers')
    .set({ ...change, version: version + 1 })
    .where('organizationId', '=', organizationId)
    .where('id', '=', id)
    .returningAll()
    .executeTakeFirst()
    .catch((error) => {
      if (error.code === uniqueViolation) return undefined
      throw error
    })
}

const uniqueViolation = '23505'

export function isChanged(user: DirectoryUser, input: Partial<DirectoryUser>): boolean {
  return Object.entries(input).some(
    ([name, value]) => !isDeepStrictEqual(user[name as keyof DirectoryUser], value),
  )
}

export async function deleteUser(tx: Db, { organizationId, id }: Key): Promise<void> {
  await tx
    .deleteFrom('directoryUsers')
    .where('organizationId', '=', organizationId)
    .where('id', '=', id)
    .execute()
}

/** In the order in which they were created. */
export async function selectUsers(
  db: Db,
  organizationId: string,
  { filter, startIndex, count }: { filter: Filter | undefined; startIndex: number; count: number },
): Promise<{ total: number; users: DirectoryUser[] }> {
  const matching = db
    .selectFrom('directoryUsers')
    .where('organizationId', '=', organizationId)
    .$if(filter !== undefined, (users) => users.where(condition(filter as Filter)))
  const { total } = await matching.select(sql<number>`count(*)::int`.as('total')).executeTakeFirstOrThrow()
  const page = matching
    .selectAll()
    .orderBy('id')
    .offset(startIndex - 1)
    .limit(count)
  return { total, users: total >= startIndex && count > 0 ? await page.execute() : [] }
}

/**
 * Null where a missing value is compared, which counts as false: with `coalesce` there, no index would find a user by name.
 * `element`: within the brackets of a multi-valued attribute, its current element.
 */
function condition(filter: Filter, element?: RawBuilder<unknown>): RawBuilder<SqlBool> {
  if (filter.op === 'and' || filter.op === 'or') {
    const conditions = filter.filters.map((one) => condition(one, element))
    return sql`(${sql.join(conditions, filter.op === 'and' ? sql` and ` : sql` or `)})`
  }
  if (filter.op === 'not') return sql`not coalesce(${condition(filter.filter, element)}, false)`
  if (filter.op === 'any') return anyElement(filter.attribute.name, (one) => condition(filter.filter, one))
  const { attribute, sub } = filter.path
  if (element) return sub ? comparison(filter, sql`(${element} ->> ${sql.lit(sub.name)})`) : sql`true`
  if (attribute.type === 'complex' && attribute.multiValued)
    return anyElement(attribute.name, (one) => condition(filter, one))
  return comparison(filter, columnOf(filter.path))
}

function comparison(
  filter: Exclude<Filter, { filters: Filter[] } | { filter: Filter }>,
  held: RawBuilder<unknown>,
): RawBuilder<SqlBool> {
  if (filter.op === 'pr') return sql`${held} is not null`
  const { op, value, path } = filter
  if (value === null) return op === 'eq' ? sql`${held} is null` : sql`${held} is not null`
  const compared = path.sub ?? path.attribute
  const isAnyCase = compared.type === 'string' && !compared.caseExact
  const [left, right] = isAnyCase
    ? [sql`lower(${held})`, sql`lower(${value}::text)`]
    : [held, sql`${value}::${sql.raw(sqlTypes[compared.type])}`]
  return comparisons[op](compared.type === 'boolean' ? sql`${left}::boolean` : left, right)
}

const sqlTypes = { string: 'text', boolean: 'boolean', dateTime: 'timestamptz', complex: 'text' }

type Compare = (left: RawBuilder<unknown>, right: RawBuilder<unknown>) => RawBuilder<SqlBool>
const comparisons: Record<Comparison, Compare> = {
  eq: (left, right) => sql`${left} = ${right}`,
  ne: (left, right) => sql`${left} is distinct from ${right}`,
  gt: (left, right) => sql`${left} > ${right}`,
  ge: (left, right) => sql`${left} >= ${right}`,
  lt: (left, right) => sql`${left} < ${right}`,
  le: (left, right) => sql`${left} <= ${right}`,
  co: (left, right) => sql`position(${right} in ${left}) > 0`,
  sw: (left, right) => sql`starts_with(${left}, ${right})`,
  ew: (left, right) => sql`right(${left}, length(${right})) = ${right}`,
}

function anyElement(
  name: string,
  matches: (element: RawBuilder<unknown>) => RawBuilder<SqlBool>,
): RawBuilder<SqlBool> {
  const elements = sql`jsonb_array_elements(coalesce(attributes -> ${sql.lit(name)}, '[]')) as element`
  return sql`exists (select from ${elements} where ${matches(sql`element`)})`
}

const columns = new Map<string, RawBuilder<unknown>>([
  ['userName', sql`user_name`],
  ['externalId', sql`external_id`],
  ['active', sql`active`],
  ['id', sql`id::text`],
  ['meta.created', sql`created_at`],
  ['meta.lastModified', sql`updated_at`],
])

function columnOf({ attribute, sub }: Path): RawBuilder<unknown> {
  const column = columns.get(sub ? `${attribute.name}.${sub.name}` : attribute.name)
  if (column) return column
  return sub
    ? sql`(attributes -> ${sql.lit(attribute.name)} ->> ${sql.lit(sub.name)})`
    : sql`(attributes ->> ${sql.lit(attribute.name)})`
}
