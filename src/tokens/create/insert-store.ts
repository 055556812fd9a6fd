import { sql } from 'kysely'
import type { Db } from '../../db/database.ts'
import type { NewEvent } from '../../db/events.ts'
import type { TokenRow } from '../../db/tables.ts'
import type { SecretHash } from '../../shared/secret.ts'
import { coalescedChange } from '../change-store.ts'

/** The columns that are given when a token is created. */
type Given = Omit<TokenRow, 'version' | 'revokedAt' | 'revokedBy' | 'revokedReason'>
type GivenSecret = { hash: SecretHash; hint: string; signedBy: string | null }

/** The revisions of the rules under which a token is issued. */
type Revisions = { organizationRevision: string; typeRevision: string }

const tokenColumns = sql`organization_id, id, type, name, comment, owner_subject, owner_email, owner_source, scopes,
  audience, metadata, allowed_cidrs, narrowed_to, not_before, expires_at, created_at, created_by, updated_at`
const secretColumns = sql`organization_id, token_id, hash, hint, signed_by, created_at`

/** Only the version is read back: the other values are known, and reading costs more than sending. */
const insert = coalescedChange<ReturnType<typeof rowOf>>(
  'insert',
  (locked) => sql`
    in_force as (
      select made.id
      from given, json_to_recordset(given.rows) as made (
        id uuid, organization_id uuid, organization_revision xid, type text, type_revision xid
      )
      join organizations
        on organizations.id = made.organization_id and organizations.xmin = made.organization_revision
      join token_types on token_types.name = made.type and token_types.xmin = made.type_revision
      for share of organizations, token_types ${locked}
    ), token as (
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
export async function insertToken(
  db: Db,
  revisions: Revisions,
  token: Given,
  secret: GivenSecret,
  event: NewEvent,
): Promise<TokenRow | undefined> {
  const made = await insert.coalesced(db, { row: rowOf(token, secret, revisions), event })
  return made && inserted(token, made.version)
}

/** The same in a transaction that holds the rules. */
export async function insertTokenInTransaction(
  tx: Db,
  revisions: Revisions,
  token: Given,
  secret: GivenSecret,
  event: NewEvent,
): Promise<TokenRow> {
  const made = await insert.alone(tx, { row: rowOf(token, secret, revisions), event })
  if (!made) throw new Error('the rules changed although the transaction holds them')
  return inserted(token, made.version)
}

function inserted(token: Given, version: number): TokenRow {
  return { ...token, revokedAt: null, revokedBy: null, revokedReason: null, version }
}

/** By the column names of both tables. */
function rowOf(token: Given, secret: GivenSecret, revisions: Revisions) {
  return {
    organization_id: token.organizationId,
    id: token.id,
    token_id: token.id,
    type: token.type,
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
    organization_revision: revisions.organizationRevision,
    type_revision: revisions.typeRevision,
  }
}
