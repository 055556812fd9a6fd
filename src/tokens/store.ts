import { type Insertable, sql, type Updateable } from 'kysely'
import type { Db } from '../db/database.ts'
import type { Tables, TokenRow } from '../db/tables.ts'
import type { Policy } from '../policy/document.ts'
import type { SecretHash } from './secret.ts'

/** A token as it is shown: with what its organization, its type and its secret add. */
export type Token = TokenRow & {
  organizationKey: string
  /** What the organization itself says of it. */
  expiryWarning: Partial<Policy['expiry_warning']> | null
  endpoint: string | null
  hint: string
  readOnly?: true
}

/** What of a token can be changed as long as it is there. */
export type TokenChange = Partial<Pick<TokenRow, 'name' | 'comment' | 'allowedCidrs'>>

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

/** Tokens as they are shown, for a query to go on from. */
export function tokens(db: Db) {
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
