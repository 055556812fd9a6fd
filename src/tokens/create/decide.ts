import type { AskedOwner, Narrowing, Owner } from '../../access/credential.ts'
import type { Organization } from '../../db/tables.ts'
import { ownerSuspensionRefusal, sourceOf, sourceRefusal } from '../../owners/source.ts'
import { effectivePolicy } from '../../policy/effective.ts'
import { AppError, invalidValue, listed, Refusals } from '../../shared/errors.ts'
import { managementType, platformId } from '../../shared/platform.ts'
import type { Policy } from '../../shared/policy.ts'
import { rejectWrongName } from '../name.ts'
import { type AskedExpiry, grantExpiry, type Warning } from './lifetime.ts'
import type { IssuanceRules, TypeRules } from './rules-store.ts'

export type NewToken = {
  /** Undefined: generate one if the policy permits that. */
  name: string | undefined
  type: string
  comment: string | null
  /** Null: the token belongs to a service of the organization. */
  owner: AskedOwner | null
  /** Undefined: the type's default scopes. */
  scopes: string[] | undefined
  /** Undefined: the type's audience. */
  audience: string[] | undefined
  metadata: Record<string, unknown>
  /** Null: usable from any network. */
  allowedCidrs: string[] | null
  /** Null: no narrowing. */
  narrowedTo: Narrowing | null
  notBefore: Date | null
  /** Undefined: the policy's default. */
  expiry: AskedExpiry | undefined
}

export type Decision = {
  policy: Policy
  type: TypeRules
  owner: Owner | null
  /** Whether the owner's record is missing, or lacks a property of `owner`. */
  recordsOwner: boolean
  scopes: string[]
  audience: string[]
  expiresAt: Date | null
  warnings: Warning[]
}

/**
 * Decides the values of a new token under these rules at `now`. Throws one `AppError` for everything that the rules
 * reject. Limits on the number of tokens, unique names and references to other objects need the database and are
 * checked when the token is stored.
 */
export function decideIssuance(rules: IssuanceRules, input: NewToken, now: Date): Decision {
  const { organization } = rules
  const policy = effectivePolicy(organization.policy)
  const source = sourceOf(rules.owner, input.owner?.source)
  const refusals = new Refusals()
  refusals.add(
    suspensionRefusal(organization) ??
      (input.owner
        ? (ownerSuspensionRefusal(rules.owner, input.owner.subject) ?? sourceRefusal(policy, source))
        : undefined),
  )
  refusals.check(() => rejectWrongName(policy.name, input.name))
  const owner = input.owner && { ...input.owner, source: source ?? 'internal' }
  const type = refusals.check(() => usableType(input.type, policy, rules))
  const scopes = [...new Set(input.scopes ?? type?.defaultScopes ?? [])]
  if (type) refusals.check(() => rejectWrongScopes(rules, input, { type, scopes }))
  const expiry = refusals.check(() => grantExpiry(policy.lifetime, input.expiry, now))
  if (input.notBefore && expiry?.expiresAt && input.notBefore >= expiry.expiresAt)
    refusals.add(invalidValue('not_before', 'must be before expires_at'))
  const refusal = refusals.combined()
  if (refusal || !type || !expiry) throw refusal
  const { expiresAt, warnings } = expiry
  const kept = keptSource(input.owner, owner)
  return {
    policy,
    type,
    owner,
    recordsOwner: owner !== null && !isKnown(rules.owner, owner),
    scopes,
    audience: input.audience ?? type.audience,
    expiresAt,
    warnings: kept ? [...warnings, kept] : warnings,
  }
}

function isKnown(known: IssuanceRules['owner'], { email, source }: Owner): boolean {
  return known?.isRecorded === true && known.source === source && (email === null || known.email === email)
}

/** Reports that the recorded identity source of the owner differs from the request's. */
function keptSource(asked: AskedOwner | null, owner: Owner | null): Warning | undefined {
  if (!asked?.source || !owner || asked.source === owner.source) return undefined
  return {
    code: 'identity_source_kept',
    message: `The identity source of ${owner.subject} is ${owner.source}. To change it, change the record of the owner.`,
    requested: asked.source,
    granted: owner.source,
  }
}

/** Whether the policy or the type requires scopes; a management token without permissions would be useless. */
export function needsScopes(
  { scopes }: Policy,
  { name, scopesRequired }: Pick<TypeRules, 'name' | 'scopesRequired'>,
): boolean {
  return scopes.required || scopesRequired || name === managementType
}

function usableType(name: string, { allowed_types: allowed }: Policy, { type }: IssuanceRules): TypeRules {
  if (!type) throw invalidValue('type', `${name} is not a token type`)
  if (type.isSuspended) throw new AppError('suspended', `The token type ${name} is suspended.`)
  if (!allowed || name === managementType || allowed.includes(name)) return type
  throw invalidValue('type', `${name} is not a type that the policy allows; it allows ${listed(allowed)}`)
}

function rejectWrongScopes(
  { organization }: IssuanceRules,
  { owner }: NewToken,
  { type, scopes }: { type: TypeRules; scopes: string[] },
): void {
  rejectForeignScopes(type, scopes)
  if (scopes.length === 0 && needsScopes(effectivePolicy(organization.policy), type))
    throw invalidValue('scopes', 'must name at least one')
  if (type.name === managementType) rejectMisplacedPermissions(organization.id, owner, scopes)
}

function rejectForeignScopes({ name, allowedScopes }: TypeRules, scopes: string[]): void {
  const foreign = allowedScopes && scopes.find((scope) => !allowedScopes.includes(scope))
  if (foreign)
    throw invalidValue(
      'scopes',
      `has ${foreign}; tokens of the type ${name} can have ${listed(allowedScopes)}`,
    )
}

function rejectMisplacedPermissions(
  organizationId: string,
  owner: AskedOwner | null,
  scopes: string[],
): void {
  if (scopes.includes('platform:admin') && organizationId !== platformId) {
    throw invalidValue(
      'scopes',
      'has platform:admin, which only tokens of the platform organization can have',
    )
  }
  if (scopes.includes('tokens:own') && !owner) {
    throw invalidValue('owner', 'is required for tokens:own, which reaches the tokens of that owner')
  }
}

/** Nothing can be created in a suspended organization. */
export function suspensionRefusal({
  key,
  suspendedAt,
}: Pick<Organization, 'key' | 'suspendedAt'>): AppError | undefined {
  return suspendedAt ? new AppError('suspended', `The organization ${key} is suspended.`) : undefined
}
