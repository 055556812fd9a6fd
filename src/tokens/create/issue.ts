import { v7 as uuid } from 'uuid'
import type { Origin } from '../../access/caller.ts'
import type { Narrowing } from '../../access/narrowing.ts'
import { eventOf } from '../../audit/audit.ts'
import type { Db } from '../../db/database.ts'
import type { OwnerSource } from '../../db/tables.ts'
import { AppError, invalidValue } from '../../errors.ts'
import { noSuchOrganization } from '../../organizations/lookup.ts'
import { managementType, platformId } from '../../platform.ts'
import type { Policy } from '../../policy/document.ts'
import { effectivePolicy } from '../../policy/effective.ts'
import { tokenEvent } from '../audit-event.ts'
import { grantSnapshot } from '../grant.ts'
import { nameFor } from '../name.ts'
import { claimQuota, hasQuota } from '../quota.ts'
import { Secret } from '../secret.ts'
import type { Token } from '../store.ts'
import { refuseWrongNarrowing } from '../view-limits.ts'
import { sourceRefusal, suspensionRefusal } from './eligibility.ts'
import { insertToken } from './insert-store.ts'
import { type AskedExpiry, grantExpiry, type Warning } from './lifetime.ts'
import { type Issuing, mintSecret } from './mint.ts'
import { findRules, holdRules, type IssuanceRules, type TypeRules } from './rules-store.ts'

export type Owner = { subject: string; email: string | null; source: OwnerSource }

export type NewToken = {
  /** Undefined: one is generated, where the policy has it so. */
  name: string | undefined
  type: string
  comment: string | null
  /** Null: the token belongs to a service of the organization. */
  owner: Owner | null
  /** Undefined: the type's default scopes. */
  scopes: string[] | undefined
  /** Undefined: the type's audience. */
  audience: string[] | undefined
  metadata: Record<string, unknown>
  /** Null: good from anywhere. */
  allowedCidrs: string[] | null
  /** Null: it sees all tokens that it reaches. */
  narrowedTo: Narrowing | null
  notBefore: Date | null
  /** Undefined: as the policy has it. */
  expiry: AskedExpiry | undefined
}

export type Issued = { token: Token; secret: Secret; warnings: Warning[] }

/**
 * Makes a token by the rules of its organization's policy and of its type; who may do so is for the caller of this to
 * have asked. Most are made by one statement, by rules that were `read` before and void if they are not in force any
 * more. Where it takes more than one, a transaction keeps the rules as they are.
 */
export async function issueToken(
  db: Db,
  origin: Origin,
  organizationId: string,
  input: NewToken,
  /** A secret that exists already, or what it takes to make one. */
  secretFrom: Secret | Issuing,
  read?: IssuanceRules,
): Promise<Issued> {
  const again = (db: Db) => issueToken(db, origin, organizationId, input, secretFrom)
  const terms = db.isTransaction
    ? await holdRules(db, organizationId, input.type)
    : (read ?? (await findRules(db, organizationId, input.type)))
  if (!terms) throw noSuchOrganization()
  const { organization } = terms
  const policy = effectivePolicy(organization.policy)
  const refusal = suspensionRefusal(organization) ?? sourceRefusal(policy, input.owner?.source)
  if (refusal) throw refusal
  const type = usable(input.type, terms)
  if (!db.isTransaction && (hasQuota(policy) || type.format === 'jwt')) {
    return db.transaction().execute(again)
  }
  refuseForeignType(policy, type)
  const scopes = [...new Set(input.scopes ?? type.defaultScopes)]
  refuseForeignScopes(type, scopes)
  if (scopes.length === 0) refuseNoScopes(policy, type)
  if (type.name === managementType) refuseMisplacedPermissions(organizationId, input.owner, scopes)
  await refuseWrongNarrowing(db, organization, type.name, scopes, input.narrowedTo)
  const { expiresAt, warnings } = grantExpiry(policy.lifetime, input.expiry, origin.now)
  const { comment, owner, metadata, notBefore, allowedCidrs, narrowedTo } = input
  if (notBefore && expiresAt && notBefore >= expiresAt)
    throw invalidValue('not_before', 'must be before expires_at')

  const id = uuid()
  const audience = input.audience ?? type.audience
  const facts = {
    id,
    type,
    organizationId,
    organizationKey: organization.key,
    ownerSubject: owner?.subject ?? null,
    scopes,
    audience,
    notBefore,
    expiresAt,
    createdAt: origin.now,
  }
  const { secret, signedBy } =
    secretFrom instanceof Secret
      ? { secret: secretFrom, signedBy: null }
      : await mintSecret(db, secretFrom, facts)
  const name = nameFor(policy.name, input.name, secret)
  await claimQuota(db, policy, { organizationId, owner: owner?.subject ?? null, name, now: origin.now })
  const grant = grantSnapshot({ ...facts, type: type.name, allowedCidrs, narrowedTo })
  const created = tokenEvent('token.created', { organizationId, id, name }, { before: {}, after: grant })
  const given = {
    organizationId,
    id,
    type: type.name,
    name,
    comment,
    ownerSubject: owner?.subject ?? null,
    ownerEmail: owner?.email ?? null,
    ownerSource: owner?.source ?? null,
    scopes,
    audience,
    metadata,
    allowedCidrs,
    narrowedTo,
    notBefore,
    expiresAt,
    createdAt: origin.now,
    createdBy: origin.actor,
    updatedAt: origin.now,
  }
  const kept = { hash: secret.hash(), hint: secret.hint() }
  const revisions = { organizationRevision: organization.revision, typeRevision: type.revision }
  const row = await insertToken(db, revisions, given, { ...kept, signedBy }, eventOf(origin, created))
  if (!row) return again(db)
  const token = {
    ...row,
    ...kept,
    ...{ lastUsedAt: null, lastUsedIp: null },
    organizationKey: organization.key,
    expiryWarning: organization.policy.expiry_warning ?? null,
    endpoint: type.endpoint,
  }
  return { token, secret, warnings }
}

function usable(name: string, { type }: IssuanceRules): TypeRules {
  if (!type) throw invalidValue('type', `${name} is not a token type`)
  if (type.isSuspended) throw new AppError('suspended', `The token type ${name} is suspended.`)
  return type
}

function refuseForeignType({ allowed_types: allowed }: Policy, { name }: TypeRules): void {
  if (!allowed || allowed.includes(name)) return
  throw invalidValue('type', `${name} is not among the types that the policy allows`)
}

function refuseForeignScopes({ name, allowedScopes }: TypeRules, scopes: string[]): void {
  const foreign = allowedScopes && scopes.find((scope) => !allowedScopes.includes(scope))
  if (foreign) throw invalidValue('scopes', `has ${foreign}, which tokens of the type ${name} cannot have`)
}

function refuseNoScopes(policy: Policy, type: TypeRules): void {
  if (needsScopes(policy, type)) throw invalidValue('scopes', 'must name at least one')
}

/** Whether the policy or the type says so; a management token without permissions could do nothing at all. */
export function needsScopes(
  { scopes }: Policy,
  { name, scopesRequired }: Pick<TypeRules, 'name' | 'scopesRequired'>,
): boolean {
  return scopes.required || scopesRequired || name === managementType
}

function refuseMisplacedPermissions(organizationId: string, owner: Owner | null, scopes: string[]): void {
  if (scopes.includes('platform:admin') && organizationId !== platformId) {
    throw invalidValue(
      'scopes',
      'has platform:admin, which only tokens of the platform organization can have',
    )
  }
  if (scopes.includes('tokens:own') && !owner) {
    throw invalidValue('owner', 'is needed by tokens:own, which reaches the tokens of that owner')
  }
}
