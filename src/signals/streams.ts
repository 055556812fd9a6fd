import type { KeyObject } from 'node:crypto'
import { type Caller, requirePermission } from '../access/caller.ts'
import { rejectEscalation } from '../access/escalation.ts'
import { type Action, record } from '../audit/audit.ts'
import { changeLocked } from '../audit/change-resource.ts'
import { differences } from '../audit/changes.ts'
import type { Db } from '../db/database.ts'
import type { Changes, SignalAction, SignalStream, TrustedIssuer } from '../db/tables.ts'
import { reseal, sealText } from '../keys/sealed.ts'
import { type Signing, sealingKey } from '../keys/signing.ts'
import { reachableOrganization } from '../organizations/lookup.ts'
import type { Outbound } from '../outbound/outbound.ts'
import { AppError, invalidValue } from '../shared/errors.ts'
import { platformId } from '../shared/platform.ts'
import type { ExpectedVersions } from '../shared/preconditions.ts'
import * as store from './store.ts'

/** The settings for the security events of an issuer. */
export type StreamInput = {
  enabled: boolean
  audience: string
  jwksUri: string | null
  pollUrl: string | null
  /** The value of `Authorization` for polling; undefined: unchanged. */
  pollAuthorization: string | null | undefined
  actions: Partial<Record<string, SignalAction>>
}

export type StreamContext = { outbound: Outbound; masterKeys: readonly KeyObject[] }

export type WhichStream = { organization: string; issuer: string }

export async function getSignalStream(
  db: Db,
  caller: Caller,
  { organization, issuer: issuerId }: WhichStream,
): Promise<SignalStream> {
  const { id: organizationId } = await reachableOrganization(db, caller, organization)
  requirePermission(caller, 'policy:read')
  return (await store.findStream(db, { organizationId, issuerId })) ?? noStream()
}

/** Creates the stream, or replaces its settings. Its events can suspend every owner and revoke every token. */
export async function replaceSignalStream(
  db: Db,
  caller: Caller,
  which: WhichStream,
  { input, expected, context }: { input: StreamInput; expected: ExpectedVersions; context: StreamContext },
): Promise<SignalStream> {
  const issuer = await administeredIssuer(db, caller, which)
  rejectUnfit(input, context)
  const { pollAuthorization, actions, ...rest } = input
  const key = { organizationId: issuer.organizationId, issuerId: issuer.id }
  const sealed = await sealedAuthorization(pollAuthorization, key.issuerId, context)
  const values = {
    ...rest,
    actions: JSON.stringify(actions),
    ...(sealed !== undefined && { pollAuthorization: sealed }),
    updatedAt: caller.now,
    pollAt: caller.now,
  }
  // A stream that does not exist yet has the version 0.
  const lock = async (tx: Db) => {
    await store.lockIssuer(tx, key)
    const before = await store.lockStream(tx, key)
    return { before, version: before?.version ?? 0 }
  }
  return changeLocked(db, { lock, expected }, async (tx, { before }) => {
    if (!before) {
      const created = await store.insertStream(tx, { ...key, ...values, createdAt: caller.now })
      const changes = { before: {}, after: shown(created) }
      await log(tx, caller, issuer, { action: 'signal_stream.created', changes })
      return created
    }
    const changes = differences(shown(before), { ...rest, actions })
    if (!changes && sealed === undefined) return before
    const isRedirected = rest.pollUrl !== null && rest.pollUrl !== before.pollUrl
    if (isRedirected && before.pollAuthorization !== null && sealed === undefined)
      throw invalidValue('poll_authorization', 'must be given again, or null, since poll_url changes')
    const changed =
      (await store.updateStream(tx, key, { ...values, version: before.version + 1 })) ?? noStream()
    await log(tx, caller, issuer, { action: 'signal_stream.updated', ...(changes && { changes }) })
    return changed
  })
}

/** Suspensions by its events stay until an administrator ends them. */
export async function deleteSignalStream(
  db: Db,
  caller: Caller,
  which: WhichStream,
  expected: ExpectedVersions,
): Promise<void> {
  const issuer = await administeredIssuer(db, caller, which)
  const key = { organizationId: issuer.organizationId, issuerId: issuer.id }
  const lock = async (tx: Db) => (await store.lockStream(tx, key)) ?? noStream()
  await changeLocked(db, { lock, expected }, async (tx) => {
    await store.deleteStream(tx, key)
    await log(tx, caller, issuer, { action: 'signal_stream.deleted' })
  })
}

async function administeredIssuer(db: Db, caller: Caller, which: WhichStream): Promise<TrustedIssuer> {
  const { id: organizationId, key } = await reachableOrganization(db, caller, which.organization)
  requirePermission(caller, 'policy:write')
  requirePermission(caller, 'tokens:write')
  const narrowedTo = organizationId === platformId ? {} : { organizations: [key] }
  rejectEscalation(caller, { permissions: [], narrowedTo, networks: [] })
  return (await store.findIssuer(db, { organizationId, issuerId: which.issuer })) ?? noIssuer()
}

function rejectUnfit({ jwksUri, pollUrl }: StreamInput, context: StreamContext) {
  for (const [name, url] of [
    ['jwks_uri', jwksUri],
    ['poll_url', pollUrl],
  ] as const) {
    const flaw = url === null ? undefined : context.outbound.flawOf(url)
    if (flaw) throw invalidValue(name, flaw)
  }
}

/** Undefined: unchanged. */
async function sealedAuthorization(
  text: string | null | undefined,
  issuerId: string,
  { masterKeys: [masterKey] }: StreamContext,
): Promise<string | null | undefined> {
  if (text === undefined || text === null) return text
  if (!masterKey)
    throw invalidValue(
      'poll_authorization',
      'needs a master key that encrypts it: set MASTER_KEY (or MASTER_KEY_FILE)',
    )
  return JSON.stringify(await sealText(text, issuerId, masterKey))
}

/** Reseals every credential for polling under the first master key, all or none, and returns how many there are. */
export async function rewrapPollCredentials(db: Db, signing: Signing): Promise<number> {
  const masterKey = sealingKey(signing, 'poll issuers')
  return db.transaction().execute(async (tx) => {
    const streams = await store.lockStreamsWithCredentials(tx)
    for (const stream of streams) {
      const { issuerId, pollAuthorization } = stream
      const resealed =
        pollAuthorization && (await reseal(pollAuthorization, issuerId, signing.masterKeys, masterKey))
      if (!resealed)
        throw new AppError(
          'unavailable',
          `MASTER_KEY does not open the poll_authorization of the issuer ${issuerId}.`,
        )
      await store.updateStream(tx, stream, { pollAuthorization: JSON.stringify(resealed) })
    }
    return streams.length
  })
}

/** As its author wrote it, without the secret. */
function shown({ enabled, audience, jwksUri, pollUrl, actions }: SignalStream) {
  return { enabled, audience, jwksUri, pollUrl, actions }
}

async function log(
  tx: Db,
  caller: Caller,
  { organizationId, id, name }: TrustedIssuer,
  event: { action: Action; changes?: Changes },
): Promise<void> {
  await record(tx, caller, { organizationId, target: { type: 'trusted_issuer', id, name }, ...event })
}

function noStream(): never {
  throw new AppError('not_found', 'The issuer has no signals configured here.')
}

function noIssuer(): never {
  throw new AppError('not_found', 'There is no such trusted issuer.')
}
