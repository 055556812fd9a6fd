import type pg from 'pg'
import type { Narrowing } from '../access/narrowing.ts'
import { planOnce } from '../db/client.ts'
import type { OwnerSource } from '../db/tables.ts'
import type { HashText } from '../tokens/secret.ts'
import type { Credential } from './credential.ts'
import { createSharing } from './share.ts'
import { unused } from './use.ts'

/**
 * The credentials of those hashes that were issued. The hashes are one text and the answer is one value, since what pg
 * makes of each row and column costs more than to look them up.
 */
export async function selectCredentials(
  pool: pg.Pool,
  hashes: HashText[],
): Promise<Map<HashText, Credential>> {
  const { rows } = await pool.query<{ found: Row[] | null }>(text, [hashes.join()])
  const credentials = new Map<HashText, Credential>()
  for (const row of rows[0]?.found ?? []) credentials.set(row[0], new Issued(row))
  return credentials
}

const milliseconds = (column: string) => `date_part('epoch', ${column}) * 1000`

const text = `
  select json_agg(json_build_array(
    encode(secret.hash, 'base64'), token.id, token.name, token.owner_subject, token.owner_email, token.narrowed_to,
    ${milliseconds('token.revoked_at')}, ${milliseconds('token.expires_at')}, ${milliseconds('token.not_before')},
    floor(date_part('epoch', token.created_at)),
    json_build_array(organization.id, organization.key, ${milliseconds('organization.suspended_at')})::text,
    json_build_array(
      token.type, ${milliseconds('type.suspended_at')}, type.endpoint,
      token.owner_source, token.scopes, token.audience, token.allowed_cidrs
    )::text
  )) as found
  from token_secrets as secret
  join tokens as token on token.organization_id = secret.organization_id and token.id = secret.token_id
  join organizations as organization on organization.id = token.organization_id
  join token_types as type on type.name = token.type
  where secret.hash = any(array(select decode(hash, 'base64') from unnest(string_to_array($1, ',')) as hash))`

planOnce('credentials', text)

/** Since 1970; infinity is a text in JSON. */
type Milliseconds = number | string | null

type Row = [
  hash: HashText,
  id: string,
  name: string,
  ownerSubject: string | null,
  ownerEmail: string | null,
  narrowedTo: Narrowing | null,
  revokedAt: Milliseconds,
  expiresAt: Milliseconds,
  notBefore: Milliseconds,
  issuedAt: number,
  // What many have alike, each in JSON.
  organization: string,
  kind: string,
]

type Organization = [id: string, key: string, suspendedAt: Milliseconds]

type Kind = [
  type: string,
  suspendedAt: Milliseconds,
  endpoint: string | null,
  ownerSource: OwnerSource | null,
  scopes: string[],
  audience: string[],
  allowedCidrs: string[] | null,
]

const organizationIn = createSharing(([id, key, suspendedAt]: Organization) => ({
  ...{ id, key },
  suspendedAt: instant(suspendedAt),
}))

const kindIn = createSharing(
  ([type, suspendedAt, endpoint, ownerSource, scopes, audience, allowedCidrs]: Kind) => ({
    ...{ type, endpoint, ownerSource, scopes, audience, allowedCidrs },
    suspendedAt: instant(suspendedAt),
  }),
)

/**
 * What every decision reads comes first and together: memory that is out of the processor's reach costs more than all
 * that is done with it. A class, since V8 takes what a literal makes for long-lived as soon as much of it has been,
 * also where nothing is remembered.
 */
class Issued implements Credential {
  readonly hash
  readonly revokedAt
  readonly expiresAt
  readonly notBefore
  readonly typeSuspendedAt
  readonly organizationSuspendedAt
  readonly organizationId
  readonly allowedCidrs
  answer: string | null | undefined = undefined
  uses = unused.uses
  usedAt = unused.usedAt
  usedFrom = unused.usedFrom
  readonly tokenId
  readonly name
  readonly type
  readonly endpoint
  readonly organizationKey
  readonly ownerSubject
  readonly ownerEmail
  readonly ownerSource
  readonly scopes
  readonly audience
  readonly narrowedTo
  readonly issuedAt

  constructor(row: Row) {
    const organization = organizationIn(row[10])
    const kind = kindIn(row[11])
    this.hash = row[0]
    this.revokedAt = instant(row[6])
    this.expiresAt = instant(row[7])
    this.notBefore = instant(row[8])
    this.typeSuspendedAt = kind.suspendedAt
    this.organizationSuspendedAt = organization.suspendedAt
    this.organizationId = organization.id
    this.allowedCidrs = kind.allowedCidrs
    this.tokenId = row[1]
    this.name = row[2]
    this.type = kind.type
    this.endpoint = kind.endpoint
    this.organizationKey = organization.key
    this.ownerSubject = row[3]
    this.ownerEmail = row[4]
    this.ownerSource = kind.ownerSource
    this.scopes = kind.scopes
    this.audience = kind.audience
    this.narrowedTo = row[5]
    this.issuedAt = row[9]
  }
}

/** The furthest from 1970 that a Date can be. */
const furthest = 8.64e15

/**
 * What no Date can be becomes the furthest one: of an invalid Date nothing would be true, neither that it has passed nor
 * that it is to come.
 */
function instant(milliseconds: Milliseconds): Date | null {
  if (milliseconds === null) return null
  return new Date(Math.max(-furthest, Math.min(Math.round(Number(milliseconds)), furthest)))
}

const notify = "select set_config('synchronous_commit', 'off', true), pg_notify($1, $2)"

planOnce('notify', notify)

/** To whoever listens, ourselves too. It need not outlive a crash, so it waits for no disk. */
export async function sendNotification(pool: pg.Pool, channel: string, payload: string): Promise<void> {
  await pool.query(notify, [channel, payload])
}
