import { type Insertable, type RawBuilder, sql, type Updateable } from 'kysely'
import type { Db } from '../db/database.ts'
import type { ScopeDetail, Tables, TokenType } from '../db/tables.ts'

/** The owner of the types: an organization, or with null the platform. */
export type Home = { organizationId: string | null }

/** The two tables have the same columns, except that an organization's has its id. */
function tableOf({ organizationId }: Home) {
  return (organizationId === null ? 'tokenTypes' : 'organizationTokenTypes') as 'tokenTypes'
}

function at({ organizationId }: Home): RawBuilder<boolean> {
  return organizationId === null ? sql`true` : sql`organization_id = ${organizationId}`
}

/** The driver takes an array for an array of SQL. */
function asJson(details: ScopeDetail[] | undefined) {
  return details && { scopeDetails: JSON.stringify(details) }
}

export async function findTokenType(db: Db, home: Home, name: string): Promise<TokenType | undefined> {
  return db.selectFrom(tableOf(home)).selectAll().where(at(home)).where('name', '=', name).executeTakeFirst()
}

/** Locks the row until the end of the transaction, so that a change is based on what it replaces. */
export async function lockTokenType(tx: Db, home: Home, name: string): Promise<TokenType | undefined> {
  return tx
    .selectFrom(tableOf(home))
    .selectAll()
    .where(at(home))
    .where('name', '=', name)
    .forUpdate()
    .executeTakeFirst()
}

export async function selectTokenTypes(db: Db, home: Home): Promise<TokenType[]> {
  return db.selectFrom(tableOf(home)).selectAll().where(at(home)).orderBy('name').execute()
}

/** Undefined if the name is taken. */
export async function insertTokenType(
  db: Db,
  home: Home,
  {
    scopeDetails,
    ...type
  }: Omit<Insertable<Tables['tokenTypes']>, 'scopeDetails'> & {
    scopeDetails: ScopeDetail[]
  },
): Promise<TokenType | undefined> {
  const { organizationId } = home
  return db
    .insertInto(tableOf(home))
    .values({ ...type, ...asJson(scopeDetails), ...(organizationId !== null && { organizationId }) })
    .onConflict((conflict) => conflict.doNothing())
    .returningAll()
    .executeTakeFirst()
}

export async function updateTokenType(
  db: Db,
  home: Home,
  { name, version }: TokenType,
  {
    scopeDetails,
    ...change
  }: Omit<Updateable<Tables['tokenTypes']>, 'scopeDetails'> & {
    scopeDetails?: ScopeDetail[] | undefined
  },
): Promise<TokenType> {
  return db
    .updateTable(tableOf(home))
    .set({ ...change, ...asJson(scopeDetails), version: version + 1 })
    .where(at(home))
    .where('name', '=', name)
    .returningAll()
    .executeTakeFirstOrThrow()
}

export async function deleteTokenType(db: Db, home: Home, name: string): Promise<void> {
  await db.deleteFrom(tableOf(home)).where(at(home)).where('name', '=', name).execute()
}

export async function hasTokens(db: Db, home: Home, type: string): Promise<boolean> {
  const token = await db
    .selectFrom('tokens')
    .select('id')
    .where(at(home))
    .where('type', '=', type)
    .where('ownType', '=', home.organizationId !== null)
    .limit(1)
    .executeTakeFirst()
  return token !== undefined
}

/** The names that belong to a type of any organization. */
export async function selectOwnNames(db: Db, names: string[]): Promise<string[]> {
  const rows = await db
    .selectFrom('organizationTokenTypes')
    .select('name')
    .distinct()
    .where('name', 'in', names)
    .execute()
  return rows.map(({ name }) => name)
}
