import { v7 as uuid } from 'uuid'
import { type Caller, onBehalfOf, requirePermission } from '../../access/caller.ts'
import type { Owner } from '../../access/credential.ts'
import { grantOfToken, rejectEscalation } from '../../access/escalation.ts'
import { eventOf } from '../../audit/audit.ts'
import type { Db } from '../../db/database.ts'
import { type KnownOwner, knownOwners } from '../../db/known-owner.ts'
import { noSuchOrganization, reachableOrganization } from '../../organizations/lookup.ts'
import { recordOwners } from '../../owners/owners.ts'
import { effectivePolicy } from '../../policy/effective.ts'
import { AppError, invalidValue } from '../../shared/errors.ts'
import { managementType } from '../../shared/platform.ts'
import { type HashText, hashText, type SecretHash } from '../../shared/secret.ts'
import { statusOf } from '../../shared/status.ts'
import { grantSnapshot, tokenEvent } from '../audit-event.ts'
import { decideIssuance, type NewToken, suspensionRefusal } from '../create/decide.ts'
import type { Warning } from '../create/lifetime.ts'
import { holdRules, type IssuanceRules } from '../create/rules-store.ts'
import { generateName } from '../name.ts'
import { limitRefusal, nameTaken, readQuotas, type Taken } from '../quota.ts'
import type { StaticSecret } from '../static-secret/static-secret.ts'
import { ownerOfNew } from '../token-owner-scope.ts'
import * as store from './store.ts'

/** A token that exists elsewhere. */
export type ForeignToken = {
  hash: SecretHash
  hint: string
  /** The prefix of its secret; empty: not known. */
  prefix: string
  /** Null: not known. */
  createdAt: Date | null
  lastUsedAt: Date | null
  input: NewToken
}

/** A line of the request, or its error. */
export type ImportLine = { number: number; token: ForeignToken | AppError }

export type ImportResult = { line: number } & (
  | { status: 'created' | 'exists' /** Null in a dry run. */; id: string | null; warnings: Warning[] }
  | { status: 'invalid'; error: AppError }
)

export type ImportedBatch = {
  results: ImportResult[]
  /** The hashes that are good from now on. */
  created: HashText[]
  /** Whether the import added a prefix that no secret had before. */
  hasNewPrefixes: boolean
}

type Options = { organization: string; dryRun: boolean; staticSecret: StaticSecret | undefined }

/**
 * Returns a function that imports tokens batch by batch, each in a transaction of its own. A dry run stores nothing,
 * and records in memory the names, hashes and slots that the lines so far would have taken.
 */
export async function importTokens(
  db: Db,
  caller: Caller,
  { organization, dryRun, staticSecret }: Options,
): Promise<(lines: ImportLine[], now: Date) => Promise<ImportedBatch>> {
  const { id: organizationId } = await reachableOrganization(db, caller, organization)
  requirePermission(caller, 'tokens:write')
  const all = nothingTaken()
  return (lines, now) =>
    db.transaction().execute((tx) =>
      importBatch(tx, { ...caller, now }, lines, {
        organizationId,
        dryRun,
        staticHash: staticSecret?.secret.hashText(),
        earlier: dryRun ? all : nothingTaken(),
        recorded: new Map(),
      }),
    )
}

/** The names, hashes and slots of earlier lines that are not stored, or that this transaction has not read. */
type Earlier = {
  /** The tokens by hash; null in a dry run. */
  ids: Map<HashText, string | null>
  /** Names in the form in which they are compared. */
  names: Set<string>
  active: number
  activeOf: Map<string, number>
  owners: Map<string, KnownOwner>
}

function nothingTaken(): Earlier {
  return { ids: new Map(), names: new Set(), active: 0, activeOf: new Map(), owners: new Map() }
}

type Context = {
  organizationId: string
  dryRun: boolean
  staticHash: HashText | undefined
  earlier: Earlier
  /** The owners whose records have to change, by subject. */
  recorded: Map<string, OwnerFacts>
}

type Draft = store.Import & { line: number; hash: HashText; prefix: string; warnings: Warning[] }

async function importBatch(
  tx: Db,
  caller: Caller,
  lines: ImportLine[],
  context: Context,
): Promise<ImportedBatch> {
  const { organizationId, dryRun, earlier, recorded } = context
  const tokens = lines.flatMap(({ token }) => (token instanceof AppError ? [] : [token]))
  const facts = await readFacts(tx, tokens, caller.now, context)
  const drafts: Draft[] = []
  const results = lines.map(({ number: line, token }): ImportResult | undefined => {
    if (token instanceof AppError) return { line, status: 'invalid', error: token }
    const hash = hashText(token.hash)
    const known = facts?.known.get(hash)
    if (known) return resultOf(line, known, organizationId)
    const id = earlier.ids.get(hash)
    if (id !== undefined) return { line, status: 'exists', id, warnings: [] }
    try {
      const draft = decide(caller, token, facts as Facts, context)
      drafts.push({ ...draft, line, hash, prefix: token.prefix })
      earlier.ids.set(hash, dryRun ? null : draft.token.id)
      return undefined
    } catch (error) {
      if (!(error instanceof AppError)) throw error
      return { line, status: 'invalid', error }
    }
  })
  if (!dryRun) await recordOwners(tx, [...recorded.values()], caller.now)
  const stored = dryRun ? undefined : await store.insertImports(tx, drafts)
  const made = stored ? drafts.filter(({ token }) => stored.has(token.id)) : drafts
  // Another transaction stored these hashes in the meantime.
  const lost = drafts.filter((draft) => !made.includes(draft))
  const known =
    lost.length > 0
      ? await store.findKnown(
          tx,
          lost.map(({ secret }) => secret.hash),
        )
      : undefined
  const hasNewPrefixes =
    stored &&
    made.length > 0 &&
    (await store.recordPrefixes(
      tx,
      made.map(({ prefix }) => prefix),
    ))
  const byLine = new Map(drafts.map((draft) => [draft.line, draft]))
  return {
    results: lines.map(({ number: line, token }, index) => {
      const found = token instanceof AppError ? undefined : known?.get(hashText(token.hash))
      if (found) return resultOf(line, found, organizationId)
      const draft = byLine.get(line)
      const id = stored && draft ? draft.token.id : null
      return results[index] ?? { line, status: 'created', id, warnings: draft?.warnings ?? [] }
    }),
    created: stored ? made.map(({ hash }) => hash) : [],
    hasNewPrefixes: hasNewPrefixes ?? false,
  }
}

/** A hash that exists anywhere else is rejected with the same message, which does not reveal where. */
function resultOf(line: number, known: store.Known, organizationId: string): ImportResult {
  const isOwn = known.isImported && known.organizationId === organizationId
  return isOwn
    ? { line, status: 'exists', id: known.tokenId, warnings: [] }
    : { line, status: 'invalid', error: hashTaken() }
}

function hashTaken(): AppError {
  const detail = 'is the hash of a secret that cannot be imported: it is in use'
  return new AppError('already_exists', `sha256 ${detail}`, {
    fields: [{ in: 'body', field: 'sha256', detail }],
  })
}

type Facts = {
  /** By the name of the type. */
  rules: Map<string, IssuanceRules>
  owners: Map<string, KnownOwner>
  known: Map<HashText, store.Known>
  taken: Taken
}

/** The rules for these tokens, which no transaction changes until this one ends. Undefined if there are none. */
async function readFacts(
  tx: Db,
  tokens: ForeignToken[],
  now: Date,
  { organizationId, dryRun }: Context,
): Promise<Facts | undefined> {
  if (tokens.length === 0) return undefined
  const rules = new Map<string, IssuanceRules>()
  for (const type of new Set(tokens.map(({ input }) => input.type))) {
    const found = await holdRules(tx, { organization: organizationId, type, ownType: null, owner: null })
    if (!found) throw noSuchOrganization()
    const refusal = suspensionRefusal(found.organization)
    if (refusal) throw refusal
    rules.set(type, found)
  }
  const [first] = rules.values()
  const policy = effectivePolicy(first?.organization.policy ?? {})
  const subjects = [...new Set(tokens.flatMap(({ input }) => input.owner?.subject ?? []))]
  const names = tokens.flatMap(({ input }) => input.name ?? [])
  const claims = { organizationId, owners: subjects, names, now }
  return {
    rules,
    taken: await readQuotas(tx, policy, claims, !dryRun),
    owners: await knownOwners(tx, organizationId, subjects),
    known: await store.findKnown(
      tx,
      tokens.map(({ hash }) => hash),
    ),
  }
}

type OwnerFacts = Parameters<typeof recordOwners>[1][number]

/** The token as it is stored, under the rules for new tokens. Throws an `AppError` if these reject it. */
function decide(
  caller: Caller,
  { hash, hint, createdAt, lastUsedAt, input: asked }: ForeignToken,
  { rules, owners, taken }: Facts,
  context: Context,
): Omit<Draft, 'line' | 'hash' | 'prefix'> {
  const { organizationId, staticHash, earlier } = context
  if (staticHash === hashText(hash)) throw hashTaken()
  const { now } = caller
  if (createdAt && createdAt > now) throw invalidValue('created_at', 'must not be in the future')
  if (lastUsedAt && lastUsedAt > now) throw invalidValue('last_used_at', 'must not be in the future')
  const input = { ...asked, owner: ownerOfNew(caller, undefined, asked.owner) }
  const subject = input.owner?.subject ?? null
  const ofType = rules.get(input.type) as IssuanceRules
  const owner = subject === null ? null : (earlier.owners.get(subject) ?? owners.get(subject) ?? null)
  const decision = decideIssuance({ ...ofType, owner }, input, now)
  const { type, scopes, audience, expiresAt, warnings } = decision
  if (type.name === managementType)
    throw invalidValue(
      'type',
      `is ${managementType}: create tokens of this type here, with a secret of the service`,
    )
  if (type.format !== 'opaque')
    throw invalidValue('type', `${type.name} has JWTs, which have to be signed here`)
  const { key: organizationKey } = ofType.organization
  rejectEscalation(caller, grantOfToken({ ...input, organizationId, organizationKey, scopes, audience }))
  const name = input.name ?? generateName(hint)
  const compared = taken.names.get(name)
  if (compared && (compared.isTaken || earlier.names.has(compared.key))) throw nameTaken()
  if (statusOf({ notBefore: null, expiresAt, revokedAt: null }, now) !== 'expired')
    takeQuota(subject, taken, earlier)
  if (compared) earlier.names.add(compared.key)
  if (decision.owner && decision.recordsOwner) recordLater(decision.owner, context)
  const token = {
    organizationId,
    id: uuid(),
    type: type.name,
    ownType: type.isOwn,
    name,
    comment: input.comment,
    scopes,
    audience,
    metadata: input.metadata,
    allowedCidrs: input.allowedCidrs,
    narrowedTo: null,
    notBefore: input.notBefore,
    expiresAt,
    ownerSubject: subject,
    ownerEmail: decision.owner?.email ?? null,
    ownerSource: decision.owner?.source ?? null,
    createdAt: createdAt ?? now,
    createdBy: caller.actor,
    updatedAt: now,
  }
  const after = { ...grantSnapshot(token), created_at: token.createdAt.toISOString() }
  const event = eventOf(
    onBehalfOf(caller, subject),
    tokenEvent('token.imported', token, { before: {}, after }),
  )
  return { token, secret: { hash, hint }, lastUsedAt, event, warnings }
}

function takeQuota(owner: string | null, taken: Taken, earlier: Earlier): void {
  const usages = taken.usages(owner)
  const ofOwner = owner === null ? 0 : (earlier.activeOf.get(owner) ?? 0)
  const refusal = limitRefusal({
    owner: usages.owner && { ...usages.owner, active: usages.owner.active + ofOwner },
    organization: usages.organization && {
      ...usages.organization,
      active: usages.organization.active + earlier.active,
    },
  })
  if (refusal) throw refusal
  earlier.active += 1
  if (owner !== null) earlier.activeOf.set(owner, ofOwner + 1)
}

function recordLater(
  { subject, email, source }: Owner,
  { organizationId, recorded, earlier: { owners } }: Context,
): void {
  const known = email ?? recorded.get(subject)?.email ?? null
  recorded.set(subject, { organizationId, subject, email: known, identitySource: source })
  owners.set(subject, {
    email: known ?? owners.get(subject)?.email ?? null,
    source,
    isSuspended: false,
    isRecorded: true,
  })
}
