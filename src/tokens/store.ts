import { type Insertable, sql, type Updateable } from 'kysely'
import type { Db } from '../db/database.ts'
import type { Tables, TokenRow } from '../db/tables.ts'
import type { Policy } from '../policy/document.ts'
import type { SecretHash } from './secret.ts'
import type { Status } from './status.ts'

/** A token as it is shown: with what its organization, its type and its secret add. */
export type Token = TokenRow & {
  organizationKey: string
  /** What the organization itself says of it. */
  expiryWarning: Partial<Policy['expiry_warning']> | null
  endpoint: string | null
  hint: string
}

export const sorts = ['created_at', 'name', 'expires_at'] as const
export type Sort = (typeof sorts)[number]

export type TokenFilter = {
  status?: Status
  type?: string
  /** The subject of the owner. */
  owner?: string
  /** A part of the name, in any case. */
  search?: string
  sort: Sort
  descending: boolean
  /** Only tokens behind this one, in the order of the list. */
  after?: Position
  limit: number
  now: Date
}

/** Where a token stands in a sorted list: the sort key's value as text, then the id. */
export type Position = { value: string; id: string }

type Key = { organizationId: string; id: string }

export async function insertToken(
  tx: Db,
  token: Insertable<Tables['tokens']>,
  secret: { hash: SecretHash; hint: string; signedBy: string | null },
): Promise<void> {
  await tx.insertInto('tokens').values(token).execute()
  const { organizationId, id: tokenId, createdAt } = token
  await tx
    .insertInto('tokenSecrets')
    .values({ ...secret, organizationId, tokenId, createdAt })
    .execute()
}

export async function findToken(db: Db, { organizationId, id }: Key): Promise<Token | undefined> {
  return tokens(db)
    .where('tokens.organizationId', '=', organizationId)
    .where('tokens.id', '=', id)
    .executeTakeFirst()
}

/** The token that a secret was issued for, whatever its status. */
export async function findTokenByHash(db: Db, hash: SecretHash): Promise<Token | undefined> {
  return tokens(db).where('tokenSecrets.hash', '=', hash).executeTakeFirst()
}

/** Locks the row until the end of the transaction, so that a change is decided on what it will replace. */
export async function lockToken(tx: Db, { organizationId, id }: Key): Promise<Token | undefined> {
  return tokens(tx)
    .where('tokens.organizationId', '=', organizationId)
    .where('tokens.id', '=', id)
    .forUpdate('tokens')
    .executeTakeFirst()
}

export async function updateToken(
  db: Db,
  token: Token,
  change: Updateable<Tables['tokens']>,
): Promise<Token> {
  const row = await db
    .updateTable('tokens')
    .set({ ...change, version: token.version + 1 })
    .where('organizationId', '=', token.organizationId)
    .where('id', '=', token.id)
    .returningAll()
    .executeTakeFirstOrThrow()
  return { ...token, ...row }
}

/** Its secret goes with it. */
export async function deleteToken(db: Db, { organizationId, id }: Key): Promise<void> {
  await db.deleteFrom('tokens').where('organizationId', '=', organizationId).where('id', '=', id).execute()
}

/** With each token the value it is sorted by; one row more than `limit` where there are more. */
export async function selectTokens(
  db: Db,
  organizationId: string,
  filter: TokenFilter,
): Promise<(Token & { sortValue: string })[]> {
  const { status, type, owner, search, sort, descending, after, limit, now } = filter
  const key = sortKeys[sort]
  const behind = descending ? sql`<` : sql`>`
  const direction = descending ? 'desc' : 'asc'
  return tokens(db)
    .select(sql<string>`${key.expression}::text`.as('sortValue'))
    .where('tokens.organizationId', '=', organizationId)
    .$if(status !== undefined, (query) => query.where(hasStatus(status as Status, now)))
    .$if(type !== undefined, (query) => query.where('tokens.type', '=', type as string))
    .$if(owner !== undefined, (query) => query.where('tokens.ownerSubject', '=', owner as string))
    .$if(search !== undefined, (query) =>
      query.where(sql<boolean>`strpos(lower(tokens.name), lower(${search})) > 0`),
    )
    .$if(after !== undefined, (query) =>
      query.where(
        sql<boolean>`(${key.expression}, tokens.id) ${behind} (${after?.value}::${key.type}, ${after?.id}::uuid)`,
      ),
    )
    .orderBy(key.expression, direction)
    .orderBy('tokens.id', direction)
    .limit(limit + 1)
    .execute()
}

// Each expression is the one that an index in the migrations is on. Ids are UUIDs of version 7: their order is
// the order of creation.
const sortKeys = {
  created_at: { expression: sql`tokens.id`, type: sql`uuid` },
  name: { expression: sql`lower(tokens.name)`, type: sql`text` },
  expires_at: { expression: sql`coalesce(tokens.expires_at, 'infinity')`, type: sql`timestamptz` },
}

/** The SQL side of `statusOf`. */
function hasStatus(status: Status, now: Date) {
  const expired = sql`(tokens.expires_at is not null and tokens.expires_at <= ${now})`
  const early = sql`(tokens.not_before is not null and tokens.not_before > ${now})`
  const conditions = {
    revoked: sql<boolean>`tokens.revoked_at is not null`,
    expired: sql<boolean>`tokens.revoked_at is null and ${expired}`,
    not_yet_valid: sql<boolean>`tokens.revoked_at is null and not ${expired} and ${early}`,
    active: sql<boolean>`tokens.revoked_at is null and not ${expired} and not ${early}`,
  }
  return conditions[status]
}

function tokens(db: Db) {
  return db
    .selectFrom('tokens')
    .innerJoin('tokenSecrets', (join) =>
      join
        .onRef('tokenSecrets.organizationId', '=', 'tokens.organizationId')
        .onRef('tokenSecrets.tokenId', '=', 'tokens.id'),
    )
    .innerJoin('organizations', 'organizations.id', 'tokens.organizationId')
    .innerJoin('tokenTypes', 'tokenTypes.name', 'tokens.type')
    .selectAll('tokens')
    .select(['organizations.key as organizationKey', 'tokenTypes.endpoint', 'tokenSecrets.hint'])
    .select(sql<Token['expiryWarning']>`organizations.policy -> 'expiry_warning'`.as('expiryWarning'))
}
