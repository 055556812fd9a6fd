import type { Narrowing } from '../access/narrowing.ts'
import { planOnce } from '../db/client.ts'
import type { Durability } from '../db/installation.ts'
import { server } from '../db/origin.ts'
import type { Pipeline } from '../db/pipeline.ts'
import type { OwnerSource } from '../db/tables.ts'
import type { HashText } from '../tokens/secret.ts'
import type { Credential } from './credential.ts'
import { createInterning } from './intern.ts'
import { unused } from './use.ts'

/**
 * The credentials of those hashes, in their order, and which server found them. The hashes are one text and the answer is one value, since what pg
 * makes of each row and column costs more than to look them up.
 */
export async function selectCredentials(
  pipeline: Pipeline,
  hashes: HashText[],
): Promise<{ server: string | null; credentials: (Credential | undefined)[] }> {
  const { rows } = await pipeline.query<{ answer: Answer }>(text, [hashes.join()])
  const [from, found] = (rows[0] as { answer: Answer }).answer
  const credentials = new Array<Credential | undefined>(hashes.length).fill(undefined)
  for (const row of found ?? []) {
    const place = row[0] - 1
    credentials[place] = new Issued(hashes[place] as HashText, row)
  }
  return { server: from, credentials }
}

type Answer = [server: string | null, found: Row[] | null]

const milliseconds = (column: string) => `date_part('epoch', ${column}) * 1000`

// An organization and a type are made into text once for all in the batch that have them: PostgreSQL remembers the
// answer of a lateral subquery, and `offset 0` keeps it one. For each hash one index is descended after the other.
const text = `
  select json_build_array(${server}, json_agg(json_build_array(
    asked.place, token.id, token.name, token.owner_subject, token.owner_email, token.owner_source, token.narrowed_to,
    ${milliseconds('token.revoked_at')}, ${milliseconds('token.expires_at')}, ${milliseconds('token.not_before')},
    floor(date_part('epoch', token.created_at)), organization.facts, type.facts,
    array_to_json(token.scopes)::text, array_to_json(token.audience)::text, array_to_json(token.allowed_cidrs)::text
  ))) as answer
  from unnest(string_to_array($1, ',')) with ordinality as asked (hash, place)
  join token_secrets as secret on secret.hash = decode(asked.hash, 'base64')
  join tokens as token on token.organization_id = secret.organization_id and token.id = secret.token_id
  join lateral (
    select json_build_array(id, key, ${milliseconds('suspended_at')})::text as facts
    from organizations where id = token.organization_id offset 0
  ) as organization on true
  join lateral (
    select json_build_array(name, endpoint, ${milliseconds('suspended_at')})::text as facts
    from token_types where name = token.type offset 0
  ) as type on true`

planOnce('credentials', text)

/** Since 1970; infinity is a text in JSON. */
type Milliseconds = number | string | null

type Row = [
  /** Of its hash among those that were asked for, from 1 on. */
  place: number,
  id: string,
  name: string,
  ownerSubject: string | null,
  ownerEmail: string | null,
  ownerSource: OwnerSource | null,
  narrowedTo: Narrowing | null,
  revokedAt: Milliseconds,
  expiresAt: Milliseconds,
  notBefore: Milliseconds,
  issuedAt: number,
  // What many have alike, each in JSON.
  organization: string,
  type: string,
  scopes: string,
  audience: string,
  allowedCidrs: string | null,
]

const organizationIn = createInterning(([id, key, suspendedAt]: [string, string, Milliseconds]) => ({
  ...{ id, key },
  suspendedAt: instant(suspendedAt),
}))

const typeIn = createInterning(([name, endpoint, suspendedAt]: [string, string | null, Milliseconds]) => ({
  ...{ name, endpoint },
  suspendedAt: instant(suspendedAt),
}))

const listIn = createInterning((list: string[]) => list)

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

  constructor(hash: HashText, row: Row) {
    const organization = organizationIn(row[11])
    const type = typeIn(row[12])
    this.hash = hash
    this.revokedAt = instant(row[7])
    this.expiresAt = instant(row[8])
    this.notBefore = instant(row[9])
    this.typeSuspendedAt = type.suspendedAt
    this.organizationSuspendedAt = organization.suspendedAt
    this.organizationId = organization.id
    this.allowedCidrs = row[15] === null ? null : listIn(row[15])
    this.tokenId = row[1]
    this.name = row[2]
    this.type = type.name
    this.endpoint = type.endpoint
    this.organizationKey = organization.key
    this.ownerSubject = row[3]
    this.ownerEmail = row[4]
    this.ownerSource = row[5]
    this.scopes = listIn(row[13])
    this.audience = listIn(row[14])
    this.narrowedTo = row[6]
    this.issuedAt = row[10]
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

const notify = "select set_config('synchronous_commit', $3, true), pg_notify($1, $2)"

planOnce('notify', notify)

/**
 * Notifies all listeners, this process included. It need not outlive a crash, so it waits for no disk; where revocations wait for a
 * standby it does too, so that it does not come back on a primary that its standbys have left for another one.
 */
export async function sendNotification(
  pipeline: Pipeline,
  channel: string,
  payload: string,
  durability: Durability,
): Promise<void> {
  await pipeline.query(notify, [channel, payload, durability === 'remote' ? 'remote_write' : 'off'])
}
