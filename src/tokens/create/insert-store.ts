import { sql } from 'kysely'
import type { Db } from '../../db/database.ts'
import type { NewEvent } from '../../db/events.ts'
import type { TokenRow } from '../../db/tables.ts'
import type { SecretHash } from '../../shared/secret.ts'
import { coalescedChange } from '../change-store.ts'
import { type Revisions, rulesInForce } from './rules-store.ts'

/** The columns that are given when a token is created. */
export type Given = Omit<TokenRow, 'version' | 'revokedAt' | 'revokedBy' | 'revokedReason'>
export type GivenSecret = { hash: SecretHash; hint: string; signedBy: string | null }

type New = { token: Given; secret: GivenSecret; revisions: Revisions; event: NewEvent }

export const tokenColumns = sql`organization_id, id, type, own_type, name, comment, owner_subject, owner_email, owner_source, scopes,
  audience, metadata, allowed_cidrs, narrowed_to, not_before, expires_at, created_at, created_by, updated_at`
export const secretColumns = sql`organization_id, token_id, hash, hint, signed_by, created_at`

/** Only the version is read back: the other values are known, and reading costs more than sending. */
const insert = coalescedChange<ReturnType<typeof rowOf>>(
  'insert',
  (locked) => sql`
    ${rulesInForce(locked)}, token as (
      insert into tokens (${tokenColumns})
      select ${tokenColumns} from given, json_populate_recordset(null::tokens, given.rows)
      where id in (select id from in_force)
      returning id, version
    ), secret as (
      insert into token_secrets (${secretColumns})
      select ${secretColumns} from given, json_populate_recordset(null::token_secrets, given.rows)
      where token_id in (select id from token)
    )`,
)

/** Stores a token with its secret and `event`. Undefined: the rules are no longer in force. */
export async function insertToken(db: Db, made: New): Promise<TokenRow | undefined> {
  const inserted = await insert.coalesced(db, { row: rowOf(made), event: made.event })
  return inserted && tokenRow(made.token, inserted.version)
}

/** The same in a transaction that holds the rules. */
export async function insertTokenInTransaction(tx: Db, made: New): Promise<TokenRow> {
  const inserted = await insert.alone(tx, { row: rowOf(made), event: made.event })
  if (!inserted) throw new Error('the rules changed although the transaction holds them')
  return tokenRow(made.token, inserted.version)
}

function tokenRow(token: Given, version: number): TokenRow {
  return { ...token, revokedAt: null, revokedBy: null, revokedReason: null, version }
}

function rowOf({ token, secret, revisions }: New) {
  return { ...columnsOf(token, secret), ...revisions }
}

/** By the column names of both tables. */
export function columnsOf(token: Given, secret: GivenSecret) {
  return {
    organization_id: token.organizationId,
    id: token.id,
    token_id: token.id,
    type: token.type,
    own_type: token.ownType,
    name: token.name,
    comment: token.comment,
    owner_subject: token.ownerSubject,
    owner_email: token.ownerEmail,
    owner_source: token.ownerSource,
    scopes: token.scopes,
    audience: token.audience,
    metadata: token.metadata,
    allowed_cidrs: token.allowedCidrs,
    narrowed_to: token.narrowedTo,
    not_before: token.notBefore?.toISOString() ?? null,
    expires_at: token.expiresAt?.toISOString() ?? null,
    created_at: token.createdAt.toISOString(),
    created_by: token.createdBy,
    updated_at: token.updatedAt.toISOString(),
    hash: `\\x${secret.hash.toString('hex')}`,
    hint: secret.hint,
    signed_by: secret.signedBy,
  }
}
