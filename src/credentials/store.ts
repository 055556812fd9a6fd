import { type Credential, type Narrowing, type OwnerSource, unused } from '../access/credential.ts'
import { PreparedStatement } from '../db/client.ts'
import type { Durability } from '../db/installation.ts'
import { server } from '../db/origin.ts'
import type { Pipeline } from '../db/pipeline.ts'
import type { HashText } from '../shared/secret.ts'

/**
 * The credentials of these hashes, in their order, and the server that found them. Parameters and result are a single
 * text each, since pg's work per row and column costs more than the lookup itself.
 */
export async function selectCredentials(
  pipeline: Pipeline,
  hashes: HashText[],
): Promise<{ server: string | null; credentials: (Credential | undefined)[] }> {
  const { rows } = await pipeline.query<{ answer: Answer }>(byHash, [hashes.join()])
  const [from, found] = (rows[0] as { answer: Answer }).answer
  const credentials = new Array<Credential | undefined>(hashes.length).fill(undefined)
  for (const row of found ?? []) {
    const [position] = row
    const type = row[12]
    // The type is missing only after a deletion by hand; without it nothing can be decided.
    if (type !== null) credentials[position - 1] = new Issued(hashes[position - 1] as HashText, row, type)
  }
  return { server: from, credentials }
}

const importedPrefixes = new PreparedStatement(
  'imported-prefixes',
  `select ${server} as server, array(select prefix from imported_prefixes) as prefixes`,
)

/** The prefixes of imported secrets, and the server that returned them. */
export async function selectImportedPrefixes(
  pipeline: Pipeline,
): Promise<{ server: string | null; prefixes: string[] }> {
  const { rows } = await pipeline.query<{ server: string | null; prefixes: string[] }>(importedPrefixes, [])
  return rows[0] as { server: string | null; prefixes: string[] }
}

type Answer = [server: string | null, found: Row[] | null]

const milliseconds = (column: string) => `date_part('epoch', ${column}) * 1000`

const typeFactsOf = `json_build_array(name, endpoint, ${milliseconds('suspended_at')})::text`

// Each organization and type in a batch is converted to text once: PostgreSQL memoizes the lateral subquery, and
// `offset 0` keeps it from being flattened. Each hash takes three index lookups in turn.
const byHash = new PreparedStatement(
  'credentials',
  `
  select json_build_array(${server}, json_agg(json_build_array(
    asked.position, token.id, token.name, token.owner_subject, token.owner_email,
    coalesce(owner.identity_source, token.owner_source), token.narrowed_to,
    ${milliseconds('token.revoked_at')}, ${milliseconds('least(token.expires_at, secret.valid_until)')},
    ${milliseconds('token.not_before')}, floor(date_part('epoch', secret.created_at)), organization.facts,
    case when token.own_type then (
      select ${typeFactsOf} from organization_token_types where organization_id = token.organization_id and name = token.type
    ) else type.facts end,
    array_to_json(token.scopes)::text, array_to_json(token.audience)::text, array_to_json(token.allowed_cidrs)::text,
    ${milliseconds('owner.suspended_at')},
    case when coalesce(secret.valid_until, secret.lapses_at) is not null or secret.id is not null then
      json_build_array(secret.id, ${milliseconds('secret.valid_until')}, ${milliseconds('secret.lapses_at')}) end
  ))) as answer
  from unnest(string_to_array($1, ',')) with ordinality as asked (hash, position)
  join token_secrets as secret on secret.hash = decode(asked.hash, 'base64')
  join tokens as token on token.organization_id = secret.organization_id and token.id = secret.token_id
  join lateral (
    select json_build_array(id, key, ${milliseconds('suspended_at')})::text as facts
    from organizations where id = token.organization_id offset 0
  ) as organization on true
  left join lateral (
    select ${typeFactsOf} as facts
    from token_types where name = token.type offset 0
  ) as type on true
  left join owners as owner on owner.organization_id = token.organization_id and owner.subject = token.owner_subject`,
)

/** Since 1970; infinity is a string in JSON. */
type Milliseconds = number | string | null

type Row = [
  /** The 1-based index of its hash among those requested. */
  index: number,
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
  // Shared by many credentials; each a JSON text.
  organization: string,
  type: string | null,
  scopes: string,
  audience: string,
  allowedCidrs: string | null,
  ownerSuspendedAt: Milliseconds,
  /** Null: the only secret of a token that was never rotated. */
  rotation: [secretId: string | null, validUntil: Milliseconds, lapsesAt: Milliseconds] | null,
]

const organizationIn = createInterning(([id, key, suspendedAt]: [string, string, Milliseconds]) => ({
  id,
  key,
  suspendedAt: instant(suspendedAt),
}))

const typeIn = createInterning(([name, endpoint, suspendedAt]: [string, string | null, Milliseconds]) => ({
  name,
  endpoint,
  suspendedAt: instant(suspendedAt),
}))

const listIn = createInterning((list: string[]) => list)

/**
 * The fields that every decision reads come first and together, since cache misses in main memory cost more than the
 * work on the values. A class, since V8 allocates objects from literals in the old generation once many of them
 * survived, even when nothing is cached.
 */
class Issued implements Credential {
  readonly hash
  readonly revokedAt
  readonly expiresAt
  readonly notBefore
  readonly typeSuspendedAt
  readonly organizationSuspendedAt
  readonly ownerSuspendedAt
  readonly lapsesAt
  readonly organizationId
  readonly allowedCidrs
  uses = unused.uses
  usedAt = unused.usedAt
  usedFrom = unused.usedFrom
  readonly tokenId
  readonly secretId
  readonly validUntil
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

  constructor(hash: HashText, row: Row, typeFacts: string) {
    const organization = organizationIn(row[11])
    const type = typeIn(typeFacts)
    this.hash = hash
    this.revokedAt = instant(row[7])
    this.expiresAt = instant(row[8])
    this.notBefore = instant(row[9])
    this.typeSuspendedAt = type.suspendedAt
    this.organizationSuspendedAt = organization.suspendedAt
    this.ownerSuspendedAt = instant(row[16])
    this.lapsesAt = row[17] === null ? null : instant(row[17][2])
    this.organizationId = organization.id
    this.allowedCidrs = row[15] === null ? null : listIn(row[15])
    this.tokenId = row[1]
    this.secretId = row[17]?.[0] ?? row[1]
    this.validUntil = row[17] === null ? null : instant(row[17][1])
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

/** Values beyond the range of Date become its limits: comparisons with an invalid Date are always false. */
function instant(milliseconds: Milliseconds): Date | null {
  if (milliseconds === null) return null
  return new Date(Math.max(-furthest, Math.min(Math.round(Number(milliseconds)), furthest)))
}

const notify = new PreparedStatement(
  'notify',
  "select set_config('synchronous_commit', $3, true), pg_notify($1, $2)",
)

/**
 * Notifies all listeners, including this process. The notification need not survive a crash, so it does not wait for
 * the disk. If revocations wait for a standby, it does too: it then cannot come back from a primary that its standbys
 * have abandoned.
 */
export async function sendNotification(
  pipeline: Pipeline,
  channel: string,
  payload: string,
  durability: Durability,
): Promise<void> {
  await pipeline.query(notify, [channel, payload, durability === 'remote' ? 'remote_write' : 'off'])
}

const mostInterned = 10_000

/**
 * Interns what many credentials share, such as their organization: equal JSON is parsed once. A hundred thousand
 * credentials take a third less memory.
 */
export function createInterning<Parsed, Made>(make: (parsed: Parsed) => Made): (json: string) => Made {
  const known = new Map<string, Made>()
  return (json) => {
    const made = known.get(json)
    if (made !== undefined) return made
    // Clearing costs only some memory, and is simpler than choosing what to evict.
    if (known.size >= mostInterned) known.clear()
    const value = make(JSON.parse(json))
    known.set(json, value)
    return value
  }
}
