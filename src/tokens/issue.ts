import { v7 as uuid } from 'uuid'
import type { Origin } from '../access/caller.ts'
import type { Narrowing } from '../access/narrowing.ts'
import { eventsOf, type Happening } from '../audit/audit.ts'
import type { Db } from '../db/database.ts'
import type { OwnerSource, TokenType } from '../db/tables.ts'
import { invalidValue } from '../errors.ts'
import { holdOrganization } from '../organizations/reach.ts'
import { managementType, platformId } from '../platform.ts'
import type { Policy } from '../policy/document.ts'
import { effectivePolicy } from '../policy/effective.ts'
import { holdTokenType } from '../token-types/token-types.ts'
import { sourceRefusal } from './creation.ts'
import { grantOf } from './grant.ts'
import { type AskedExpiry, grantExpiry, type Warning } from './lifetime.ts'
import { type Issuing, mintSecret } from './mint.ts'
import { nameFor } from './name.ts'
import { refuseWrongNarrowing } from './narrowing.ts'
import { claimPlace } from './places.ts'
import { Secret } from './secret.ts'
import * as store from './store.ts'

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

export type Issued = { token: store.Token; secret: Secret; warnings: Warning[] }

/**
 * Makes a token by the rules of its organization's policy and of its type; who may do so is for the caller of this to
 * have asked.
 */
export async function issueToken(
  tx: Db,
  origin: Origin,
  organizationId: string,
  input: NewToken,
  /** A secret that exists already, or what it takes to make one. */
  secretFrom: Secret | Issuing,
): Promise<Issued> {
  const organization = await holdOrganization(tx, organizationId)
  const policy = effectivePolicy(organization.policy)
  const refusal = sourceRefusal(policy, input.owner?.source)
  if (refusal) throw refusal
  const type = await holdTokenType(tx, input.type)
  refuseForeignType(policy, type)
  const scopes = [...new Set(input.scopes ?? type.defaultScopes)]
  refuseForeignScopes(type, scopes)
  if (scopes.length === 0) refuseNoScopes(policy, type)
  if (type.name === managementType) refuseMisplacedPermissions(organizationId, input.owner, scopes)
  await refuseWrongNarrowing(tx, organization, type.name, scopes, input.narrowedTo)
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
      : await mintSecret(tx, secretFrom, facts)
  const name = nameFor(policy.name, input.name, secret)
  await claimPlace(tx, policy, { organizationId, owner: owner?.subject ?? null, name, now: origin.now })
  const created: Happening = {
    organizationId,
    action: 'token.created',
    target: { type: 'token', id, name },
    changes: { before: {}, after: grantOf({ ...facts, type: type.name, allowedCidrs, narrowedTo }) },
  }
  const row = await store.insertToken(
    tx,
    {
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
      metadata: JSON.stringify(metadata),
      allowedCidrs,
      narrowedTo: narrowedTo && JSON.stringify(narrowedTo),
      notBefore,
      expiresAt,
      createdAt: origin.now,
      createdBy: JSON.stringify(origin.actor),
      updatedAt: origin.now,
    },
    { hash: secret.hash(), hint: secret.hint(), signedBy },
    eventsOf(origin, [created]),
  )
  const token = {
    ...row,
    organizationKey: organization.key,
    expiryWarning: organization.policy.expiry_warning ?? null,
    endpoint: type.endpoint,
    hint: secret.hint(),
  }
  return { token, secret, warnings }
}

function refuseForeignType({ allowed_types: allowed }: Policy, { name }: TokenType): void {
  if (!allowed || allowed.includes(name)) return
  throw invalidValue('type', `${name} is not among the types that the policy allows`)
}

function refuseForeignScopes({ name, allowedScopes }: TokenType, scopes: string[]): void {
  const foreign = allowedScopes && scopes.find((scope) => !allowedScopes.includes(scope))
  if (foreign) throw invalidValue('scopes', `has ${foreign}, which tokens of the type ${name} cannot have`)
}

function refuseNoScopes(policy: Policy, type: TokenType): void {
  if (needsScopes(policy, type)) throw invalidValue('scopes', 'must name at least one')
}

/** Whether the policy or the type says so; a management token without permissions could do nothing at all. */
export function needsScopes({ scopes }: Policy, { name, scopesRequired }: TokenType): boolean {
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
