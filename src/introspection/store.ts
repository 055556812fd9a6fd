import { sql } from 'kysely'
import type pg from 'pg'
import { queryBuilder } from '../db/database.ts'
import type { HashText } from '../tokens/secret.ts'
import type { Credential } from './credential.ts'
import { createSharing } from './share.ts'
import { unused } from './use.ts'

/** The credentials of those hashes that were issued. Kysely would not prepare the statement, so pg runs it by name. */
export async function selectCredentials(
  pool: pg.Pool,
  hashes: HashText[],
  { prepare }: { prepare: boolean },
): Promise<Map<HashText, Credential>> {
  const values = [hashes.map((hash) => Buffer.from(hash, 'base64'))]
  const { rows } = await pool.query<Row>({ ...(prepare && { name: 'credentials' }), text, values })
  return new Map(rows.map((row) => [row.hash, fromRow(row)]))
}

const query = queryBuilder()
  .selectFrom('tokenSecrets')
  .innerJoin('tokens', (join) =>
    join
      .onRef('tokens.organizationId', '=', 'tokenSecrets.organizationId')
      .onRef('tokens.id', '=', 'tokenSecrets.tokenId'),
  )
  .innerJoin('organizations', 'organizations.id', 'tokens.organizationId')
  .innerJoin('tokenTypes', 'tokenTypes.name', 'tokens.type')
  .where(sql<boolean>`token_secrets.hash = any(${[]}::bytea[])`)
  .select([
    sql<HashText>`encode(token_secrets.hash, 'base64')`.as('hash'),
    'tokens.id as tokenId',
    'tokens.name',
    'tokens.type',
    'tokenTypes.suspendedAt as typeSuspendedAt',
    'tokenTypes.endpoint',
    'organizations.id as organizationId',
    'organizations.key as organizationKey',
    'organizations.suspendedAt as organizationSuspendedAt',
    'tokens.ownerSubject',
    'tokens.ownerEmail',
    'tokens.ownerSource',
    // As texts, of which most have been seen and need not be parsed again.
    sql<string>`to_json(tokens.scopes)::text`.as('scopes'),
    sql<string>`to_json(tokens.audience)::text`.as('audience'),
    sql<string | null>`to_json(tokens.allowed_cidrs)::text`.as('allowedCidrs'),
    'tokens.narrowedTo',
    'tokens.notBefore',
    'tokens.expiresAt',
    'tokens.revokedAt',
    sql<number>`floor(extract(epoch from tokens.created_at))::integer`.as('issuedAt'),
  ])

const text = query.compile().sql

type Selected = Awaited<ReturnType<typeof query.executeTakeFirstOrThrow>>

type SnakeCase<Name extends string> = Name extends `${infer First}${infer Rest}`
  ? `${First extends Lowercase<First> ? First : `_${Lowercase<First>}`}${SnakeCase<Rest>}`
  : Name

/** What pg gives, which knows nothing of Kysely's camel case. */
type Row = { [Name in keyof Selected as SnakeCase<Name & string>]: Selected[Name] }

const sharing = createSharing()

/**
 * What every decision reads comes first and together, and every member is named here: those that are added later, or by
 * spreading, lie apart, and memory that is out of the processor's reach costs more than all that is done with it.
 */
function fromRow(row: Row): Credential {
  return {
    hash: row.hash,
    revokedAt: row.revoked_at,
    expiresAt: row.expires_at,
    notBefore: row.not_before,
    typeSuspendedAt: row.type_suspended_at,
    organizationSuspendedAt: row.organization_suspended_at,
    organizationId: sharing.text(row.organization_id),
    allowedCidrs: row.allowed_cidrs === null ? null : sharing.list(row.allowed_cidrs),
    answer: undefined,
    uses: unused.uses,
    usedAt: unused.usedAt,
    usedFrom: unused.usedFrom,
    tokenId: row.token_id,
    name: row.name,
    type: sharing.text(row.type),
    endpoint: sharing.text(row.endpoint),
    organizationKey: sharing.text(row.organization_key),
    ownerSubject: row.owner_subject,
    ownerEmail: row.owner_email,
    ownerSource: sharing.text(row.owner_source),
    scopes: sharing.list(row.scopes),
    audience: sharing.list(row.audience),
    narrowedTo: row.narrowed_to,
    issuedAt: row.issued_at,
  }
}

/** To whoever listens, ourselves too. It need not outlive a crash, so it waits for no disk. */
export async function sendNotification(pool: pg.Pool, channel: string, payload: string): Promise<void> {
  await pool.query("select set_config('synchronous_commit', 'off', true), pg_notify($1, $2)", [
    channel,
    payload,
  ])
}
