import { sql, type Updateable } from 'kysely'
import type { Db } from '../db/database.ts'
import { statement } from '../db/statement.ts'
import type { Tables, TokenRow } from '../db/tables.ts'
import type { Policy } from '../shared/policy.ts'
import type { SecretHash } from '../shared/secret.ts'

/** A token as shown, with facts from its organization, type, current secret and uses. */
export type Token = TokenRow & {
  lastUsedAt: Date | null
  lastUsedIp: string | null
  organizationKey: string
  /** The organization's own setting. */
  expiryWarning: Partial<Policy['expiry_warning']> | null
  endpoint: string | null
  /** Of the current secret. */
  secretId: string
  secretCreatedAt: Date
  hint: string
  hash: SecretHash
  /** The organization's own setting: how often secrets are to be rotated. */
  rotateEveryDays: number | null
  readOnly?: true
  /** In lists: the comment was cut. */
  isCommentCut?: boolean
}

/** The members of a token that can be changed. */
export type TokenChange = Partial<Pick<TokenRow, 'name' | 'comment' | 'metadata' | 'allowedCidrs'>>

type Key = { organizationId: string; id: string }

/** The members of a token that are columns of its own. */
export const columns = [
  'organizationId',
  'id',
  'type',
  'ownType',
  'name',
  'comment',
  'ownerSubject',
  'ownerEmail',
  'ownerSource',
  'scopes',
  'audience',
  'metadata',
  'allowedCidrs',
  'narrowedTo',
  'notBefore',
  'expiresAt',
  'createdAt',
  'createdBy',
  'updatedAt',
  'revokedAt',
  'revokedBy',
  'revokedReason',
  'version',
] as const satisfies (keyof TokenRow)[]

/** Of the token's type. A subquery for the few types of organizations costs other tokens less than a join would. */
const endpoint = sql<string | null>`case when tokens.own_type then (
  select own.endpoint from organization_token_types as own
  where own.organization_id = tokens.organization_id and own.name = tokens.type
) else token_types.endpoint end`

const qualifiedColumns = columns.filter((name) => name !== 'comment').map((name) => `tokens.${name}` as const)

/** The token that a secret was issued for, in any status, unless the secret has ended. */
export async function findTokenByHash(db: Db, hash: SecretHash): Promise<Token | undefined> {
  return tokens(db)
    .innerJoin('tokenSecrets as presented', (join) =>
      join
        .onRef('presented.organizationId', '=', 'tokens.organizationId')
        .onRef('presented.tokenId', '=', 'tokens.id'),
    )
    .where('presented.hash', '=', hash)
    .executeTakeFirst()
}

const selectOne = statement<Key, Token>('token', (builder, parameter) =>
  tokens(builder)
    .where('tokens.organizationId', '=', parameter('organizationId'))
    .where('tokens.id', '=', parameter('id'))
    .compile(),
)

export async function findToken(db: Db, key: Key): Promise<Token | undefined> {
  const [token] = await selectOne(db, key)
  return token
}

const selectLocked = statement<Key, Token>('token-locked', (builder, parameter) =>
  tokens(builder)
    .where('tokens.organizationId', '=', parameter('organizationId'))
    .where('tokens.id', '=', parameter('id'))
    .forUpdate('tokens')
    .compile(),
)

/** Locks the row until the end of the transaction, so that a change is based on what it replaces. */
export async function lockToken(tx: Db, key: Key): Promise<Token | undefined> {
  const [token] = await selectLocked(tx, key)
  return token
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
    .returning(columns)
    .executeTakeFirstOrThrow()
  return { ...token, ...row }
}

/** Deletes its secrets too; their hashes are stored for some time, to recognize them if they leak. */
export async function deleteToken(tx: Db, { organizationId, id, name }: Token, now: Date): Promise<void> {
  await sql`
    insert into deleted_secrets (hash, organization_id, token_id, secret_id, token_name, hint, deleted_at)
    select hash, organization_id, token_id, coalesce(id, token_id), ${name}::text, hint, ${now}::timestamptz
    from token_secrets where organization_id = ${organizationId} and token_id = ${id}
    union all
    select hash, organization_id, token_id, id, ${name}::text, hint, ${now}::timestamptz
    from superseded_secrets where organization_id = ${organizationId} and token_id = ${id}`.execute(tx)
  await tx.deleteFrom('tokens').where('organizationId', '=', organizationId).where('id', '=', id).execute()
}

/**
 * Base query for tokens as shown. Rows inserted with triggers disabled have no row of uses, and must still be visible
 * and revocable.
 */
export function tokens(db: Db) {
  return tokensWithoutComment(db).select('tokens.comment')
}

/** For lists, which show only the start of a comment. */
export function tokensWithoutComment(db: Db) {
  return db
    .selectFrom('tokens')
    .innerJoin('tokenSecrets', (join) =>
      join
        .onRef('tokenSecrets.organizationId', '=', 'tokens.organizationId')
        .onRef('tokenSecrets.tokenId', '=', 'tokens.id')
        .on('tokenSecrets.supersededAt', 'is', null)
        .on('tokenSecrets.lapsesAt', 'is', null),
    )
    .leftJoin('tokenUses', (join) =>
      join
        .onRef('tokenUses.organizationId', '=', 'tokens.organizationId')
        .onRef('tokenUses.tokenId', '=', 'tokens.id'),
    )
    .innerJoin('organizations', 'organizations.id', 'tokens.organizationId')
    .leftJoin('tokenTypes', 'tokenTypes.name', 'tokens.type')
    .select(qualifiedColumns)
    .select(['organizations.key as organizationKey', 'tokenSecrets.hint'])
    .select(endpoint.as('endpoint'))
    .select(['tokenSecrets.hash', 'tokenUses.lastUsedAt', 'tokenUses.lastUsedIp'])
    .select(sql<string>`coalesce(token_secrets.id, tokens.id)`.as('secretId'))
    .select('tokenSecrets.createdAt as secretCreatedAt')
    .select(sql<Token['expiryWarning']>`organizations.policy -> 'expiry_warning'`.as('expiryWarning'))
    .select(
      sql<Token['rotateEveryDays']>`organizations.policy -> 'rotation' -> 'every_days'`.as('rotateEveryDays'),
    )
}
