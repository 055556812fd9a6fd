import { type Caller, holds } from '../../access/caller.ts'
import { escalationBy } from '../../access/escalation.ts'
import { permissions } from '../../access/permissions.ts'
import type { Db } from '../../db/database.ts'
import type { Organization, TokenType } from '../../db/tables.ts'
import { canSign, type Signing } from '../../keys/signing.ts'
import { reachableOrganization } from '../../organizations/lookup.ts'
import { effectivePolicy } from '../../policy/effective.ts'
import { invalidValue, listed } from '../../shared/errors.ts'
import { managementType, platformId } from '../../shared/platform.ts'
import { usableTokenTypes } from '../../token-types/token-types.ts'
import { onlyOwner } from '../token-owner-scope.ts'
import { needsScopes } from './decide.ts'
import { type Candidate, type Eligibility, eligibilityOf } from './eligibility.ts'

/** A type that a new token can have, with the scopes that the caller can grant. */
export type TypeOption = TokenType & { needsScopes: boolean }

export type TokenOptions = Eligibility & { types: TypeOption[] }

/** The options of a form for a new token. */
export async function getTokenOptions(
  db: Db,
  caller: Caller,
  organizationKey: string,
  { candidate, signing }: { candidate: Candidate; signing: Signing },
): Promise<TokenOptions> {
  const eligibility = await eligibilityOf(db, caller, organizationKey, candidate)
  const { organization, policy } = eligibility
  const types = (await creatableTypes(db, organization, signing))
    .filter(({ name }) => canGive(caller, organization, name))
    .map((type) => ({ ...type, needsScopes: needsScopes(policy, type) }))
    .map((type) => (type.name === managementType ? grantable(type, caller, organization.id) : type))
  return { ...eligibility, types }
}

/** The type of a new token that names none, if only one besides `management` can be created. */
export async function onlyType(
  db: Db,
  caller: Caller,
  organizationKey: string,
  signing: Signing,
): Promise<string> {
  const organization = await reachableOrganization(db, caller, organizationKey)
  onlyOwner(caller, 'tokens:write')
  const types = await creatableTypes(db, organization, signing)
  const names = types.map(({ name }) => name).filter((name) => name !== managementType)
  const [only, another] = names
  if (only === undefined || another !== undefined)
    throw invalidValue('type', `is required; it can be ${listed(names)}`)
  return only
}

async function creatableTypes(db: Db, organization: Organization, signing: Signing): Promise<TokenType[]> {
  const policy = effectivePolicy(organization.policy)
  return (
    (await usableTokenTypes(db, organization))
      .filter(({ name, suspendedAt }) => !suspendedAt && (policy.allowed_types?.includes(name) ?? true))
      // Without a master key, creating a JWT fails.
      .filter(({ format }) => format === 'opaque' || canSign(signing))
  )
}

/** Whether the caller could create any token of that type: its narrowing may rule out all of them. */
function canGive(caller: Caller, { id, key }: Organization, type: string): boolean {
  const ofManagement = type === managementType
  const organizations = ofManagement && id === platformId ? [] : [key]
  const narrowedTo = { organizations, audience: [], types: ofManagement ? [] : [type] }
  return !escalationBy(caller, { permissions: [], narrowedTo, networks: [] })
}

/** Callers cannot grant permissions that they do not hold. */
function grantable(type: TypeOption, { principal }: Caller, organizationId: string): TypeOption {
  const allowedScopes = permissions.filter(
    (permission) =>
      holds(principal, permission) && (permission !== 'platform:admin' || organizationId === platformId),
  )
  return { ...type, allowedScopes }
}
