import { type Insertable, sql, type Updateable } from 'kysely'
import { validate as isUuid } from 'uuid'
import type { Db } from '../db/database.ts'
import { eventsInsert } from '../db/events.ts'
import { statement } from '../db/statement.ts'
import type { Actor, Tables, TokenRow } from '../db/tables.ts'
import type { Policy } from '../policy/document.ts'
import type { SecretHash } from './secret.ts'

/** A token as it is shown: with what its organization, its type, its secret and its uses add. */
export type Token = TokenRow & {
  lastUsedAt: Date | null
  lastUsedIp: string | null
  organizationKey: string
  /** What the organization itself says of it. */
  expiryWarning: Partial<Policy['expiry_warning']> | null
  endpoint: string | null
  hint: string
  hash: SecretHash
  readOnly?: true
}

/** What of a token can be changed as long as it is there. */
export type TokenChange = Partial<Pick<TokenRow, 'name' | 'comment' | 'allowedCidrs'>>

type Key = { organizationId: string; id: string }

/** What is said of a token when it is made. */
const givenColumns = [
  ...['organizationId', 'id', 'type', 'name', 'comment', 'ownerSubject', 'ownerEmail', 'ownerSource'],
  ...['scopes', 'audience', 'metadata', 'allowedCidrs', 'narrowedTo', 'notBefore', 'expiresAt'],
  ...['createdAt', 'createdBy', 'updatedAt'],
] as const satisfies (keyof TokenRow)[]

const columns = [
  ...givenColumns,
  ...['revokedAt', 'revokedBy', 'revokedReason', 'version'],
] as const satisfies (keyof TokenRow)[]

const qualifiedColumns = columns.map((name) => `tokens.${name}` as const)

type Given = Pick<TokenRow, (typeof givenColumns)[number]>
type GivenAsText = Required<Pick<Insertable<Tables['tokens']>, (typeof givenColumns)[number]>>
type GivenSecret = { hash: SecretHash; hint: string; signedBy: string | null }

/** Which terms a token is made by. */
type Revisions = { organizationRevision: string; typeRevision: string }

type Insert = GivenAsText & GivenSecret & Revisions & { event: string }

/** Of what it makes only the version is read back: the rest is known, and costs more to read than to send. */
const insert = statement<Insert, Pick<TokenRow, 'version'>>('token-insert', (builder, parameter) =>
  builder
    .with('terms', (db) =>
      db
        .selectFrom(['organizations', 'tokenTypes'])
        .select('organizations.id')
        .where('organizations.id', '=', parameter('organizationId'))
        .where(sql`organizations.xmin`, '=', sql`${parameter('organizationRevision')}::xid`)
        .where('tokenTypes.name', '=', parameter('type'))
        .where(sql`token_types.xmin`, '=', sql`${parameter('typeRevision')}::xid`)
        .forShare(),
    )
    .with('token', (db) =>
      db
        .insertInto('tokens')
        .columns(givenColumns)
        .expression((from) =>
          from.selectFrom('terms').select(givenColumns.map((name) => sql`${parameter(name)}`.as(name))),
        )
        .returning(['organizationId', 'id', 'createdAt', 'version']),
    )
    .with('secret', (db) =>
      db
        .insertInto('tokenSecrets')
        .columns(['organizationId', 'tokenId', 'hash', 'hint', 'signedBy', 'createdAt'])
        .expression((from) =>
          from
            .selectFrom('token')
            .select([
              'organizationId',
              'id',
              ...(['hash', 'hint', 'signedBy'] as const).map((name) => sql`${parameter(name)}`.as(name)),
              'createdAt',
            ]),
        ),
    )
    .with('event', () => sql<never>`(${eventsInsert(parameter('event'))} where exists (select from token))`)
    .selectFrom('token')
    .select('version')
    .compile(),
)

/** With its secret, and with `event` for the change log. Undefined: the terms are not in force any more. */
export async function insertToken(
  db: Db,
  revisions: Revisions,
  token: Given,
  secret: GivenSecret,
  event: string,
): Promise<TokenRow | undefined> {
  const [row] = await insert(db, {
    ...token,
    ...secret,
    ...revisions,
    metadata: JSON.stringify(token.metadata),
    narrowedTo: token.narrowedTo && JSON.stringify(token.narrowedTo),
    createdBy: JSON.stringify(token.createdBy),
    event,
  })
  const unrevoked = { revokedAt: null, revokedBy: null, revokedReason: null }
  return row && { ...token, ...unrevoked, ...row }
}

/** The token that a secret was issued for, whatever its status. */
export async function findTokenByHash(db: Db, hash: SecretHash): Promise<Token | undefined> {
  return tokens(db).where('tokenSecrets.hash', '=', hash).executeTakeFirst()
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

const selectByKey = statement<{ organizationKey: string; id: string }, Token>(
  'token-by-key',
  (builder, parameter) =>
    tokens(builder)
      .where('organizations.key', '=', parameter('organizationKey'))
      .where('tokens.id', '=', parameter('id'))
      .compile(),
)

/** In the organization of that key or id. */
export async function findTokenIn(db: Db, keyOrId: string, id: string): Promise<Token | undefined> {
  if (isUuid(keyOrId)) return findToken(db, { organizationId: keyOrId, id })
  const [token] = await selectByKey(db, { organizationKey: keyOrId, id })
  return token
}

const selectLocked = statement<Key, Token>('token-locked', (builder, parameter) =>
  tokens(builder)
    .where('tokens.organizationId', '=', parameter('organizationId'))
    .where('tokens.id', '=', parameter('id'))
    .forUpdate('tokens')
    .compile(),
)

/** Locks the row until the end of the transaction, so that a change is decided on what it will replace. */
export async function lockToken(tx: Db, key: Key): Promise<Token | undefined> {
  const [token] = await selectLocked(tx, key)
  return token
}

type Revocation = { revokedAt: Date; revokedBy: Actor; revokedReason: string | null }
type Revoke = Key & Omit<Revocation, 'revokedBy'> & { revokedBy: string; version: number; event: string }

const revoke = statement<Revoke, Pick<TokenRow, 'version'>>('token-revoke', (builder, parameter) =>
  builder
    .with('token', (db) =>
      db
        .updateTable('tokens')
        .set((row) => ({
          revokedAt: parameter('revokedAt'),
          revokedBy: parameter('revokedBy'),
          revokedReason: parameter('revokedReason'),
          updatedAt: parameter('revokedAt'),
          version: row('version', '+', 1),
        }))
        .where('organizationId', '=', parameter('organizationId'))
        .where('id', '=', parameter('id'))
        .where('version', '=', parameter('version'))
        .where('revokedAt', 'is', null)
        .returning('version'),
    )
    .with('event', () => sql<never>`(${eventsInsert(parameter('event'))} where exists (select from token))`)
    .selectFrom('token')
    .select('version')
    .compile(),
)

/** And says so in the change log, with `event`. Undefined: the token is no longer as it was read, and was left alone. */
export async function revokeToken(
  db: Db,
  token: Token,
  revocation: Revocation,
  event: string,
): Promise<Token | undefined> {
  const { organizationId, id, version } = token
  const revokedBy = JSON.stringify(revocation.revokedBy)
  const [row] = await revoke(db, { ...revocation, revokedBy, organizationId, id, version, event })
  return row && { ...token, ...revocation, updatedAt: revocation.revokedAt, ...row }
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

/** Its secret goes with it. */
export async function deleteToken(db: Db, { organizationId, id }: Key): Promise<void> {
  await db.deleteFrom('tokens').where('organizationId', '=', organizationId).where('id', '=', id).execute()
}

/**
 * Tokens as they are shown, for a query to go on from. What was put in with the triggers disabled has no row of uses, and
 * must not on that account be one that nobody sees and can revoke.
 */
export function tokens(db: Db) {
  return db
    .selectFrom('tokens')
    .innerJoin('tokenSecrets', (join) =>
      join
        .onRef('tokenSecrets.organizationId', '=', 'tokens.organizationId')
        .onRef('tokenSecrets.tokenId', '=', 'tokens.id'),
    )
    .leftJoin('tokenUses', (join) =>
      join
        .onRef('tokenUses.organizationId', '=', 'tokens.organizationId')
        .onRef('tokenUses.tokenId', '=', 'tokens.id'),
    )
    .innerJoin('organizations', 'organizations.id', 'tokens.organizationId')
    .innerJoin('tokenTypes', 'tokenTypes.name', 'tokens.type')
    .select(qualifiedColumns)
    .select(['organizations.key as organizationKey', 'tokenTypes.endpoint', 'tokenSecrets.hint'])
    .select(['tokenSecrets.hash', 'tokenUses.lastUsedAt', 'tokenUses.lastUsedIp'])
    .select(sql<Token['expiryWarning']>`organizations.policy -> 'expiry_warning'`.as('expiryWarning'))
}
