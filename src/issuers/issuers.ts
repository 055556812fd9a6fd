import { v7 as uuid } from 'uuid'
import { type Caller, requirePermission } from '../access/caller.ts'
import { type Action, record } from '../audit/audit.ts'
import { differences } from '../audit/changes.ts'
import type { Db } from '../db/database.ts'
import type { Changes, Organization, TrustedIssuer } from '../db/tables.ts'
import { lockOrganization, reachableOrganization } from '../organizations/lookup.ts'
import type { Outbound } from '../outbound/outbound.ts'
import { AppError } from '../shared/errors.ts'
import { type ExpectedVersions, refuseStale } from '../shared/preconditions.ts'
import {
  checkedRegistration,
  type Registration,
  refuseOneMore,
  refuseUnfitUrls,
  refuseUnheldGrants,
} from './registration.ts'
import * as store from './store.ts'

/** What a registration is checked against: where it may lead, and our own issuer URL. */
export type RegistrationContext = { outbound: Outbound; issuer: string }

export async function createTrustedIssuer(
  db: Db,
  caller: Caller,
  organizationKey: string,
  input: Registration,
  context: RegistrationContext,
): Promise<TrustedIssuer> {
  const organization = await administered(db, caller, organizationKey)
  const organizationId = organization.id
  const registration = checked(caller, organization, input, context)
  return db.transaction().execute(async (tx) => {
    await lockOrganization(tx, organizationId)
    refuseOneMore(await store.countIssuers(tx, organizationId))
    await refuseTaken(tx, organizationId, registration)
    const created = await store.insertIssuer(tx, {
      organizationId,
      id: uuid(),
      ...stored(registration),
      createdAt: caller.now,
      updatedAt: caller.now,
    })
    await log(
      tx,
      caller,
      'trusted_issuer.created',
      created,
      differences<Partial<RegistrationInput>>({}, inputOf(created)),
    )
    return created
  })
}

export async function listTrustedIssuers(
  db: Db,
  caller: Caller,
  organizationKey: string,
): Promise<TrustedIssuer[]> {
  const { id } = await reachableOrganization(db, caller, organizationKey)
  requirePermission(caller, 'policy:read')
  return store.selectIssuers(db, id)
}

export async function getTrustedIssuer(
  db: Db,
  caller: Caller,
  organizationKey: string,
  id: string,
): Promise<TrustedIssuer> {
  const { id: organizationId } = await reachableOrganization(db, caller, organizationKey)
  requirePermission(caller, 'policy:read')
  return (await store.findIssuer(db, { organizationId, id })) ?? notFound()
}

/** Takes a complete registration, so that everything it grants or trusts is checked again. */
export async function replaceTrustedIssuer(
  db: Db,
  caller: Caller,
  where: { organizationKey: string; id: string; expected: ExpectedVersions },
  input: Registration,
  context: RegistrationContext,
): Promise<TrustedIssuer> {
  return changing(db, caller, where, async (tx, current, organization) => {
    const registration = checked(caller, organization, input, context)
    await refuseTaken(tx, current.organizationId, registration, current.id)
    const changes = differences(inputOf(current), registration)
    if (!changes) return current
    const change = { ...stored(registration), updatedAt: caller.now }
    const changed = await store.updateIssuer(tx, current, change)
    await log(tx, caller, 'trusted_issuer.updated', changed, changes)
    return changed
  })
}

/** From then on its users can no longer sign in. Tokens that they created remain. */
export async function deleteTrustedIssuer(
  db: Db,
  caller: Caller,
  where: { organizationKey: string; id: string; expected: ExpectedVersions },
): Promise<void> {
  await changing(db, caller, where, async (tx, issuer) => {
    await store.deleteIssuer(tx, issuer)
    await log(tx, caller, 'trusted_issuer.deleted', issuer)
  })
}

async function administered(db: Db, caller: Caller, organizationKey: string): Promise<Organization> {
  const organization = await reachableOrganization(db, caller, organizationKey)
  requirePermission(caller, 'policy:write')
  return organization
}

/** The lock keeps two concurrent changes from creating the same registration twice. */
async function changing<T>(
  db: Db,
  caller: Caller,
  { organizationKey, id, expected }: { organizationKey: string; id: string; expected: ExpectedVersions },
  change: (tx: Db, issuer: TrustedIssuer, organization: Organization) => Promise<T>,
): Promise<T> {
  const organization = await administered(db, caller, organizationKey)
  const organizationId = organization.id
  return db.transaction().execute(async (tx) => {
    await lockOrganization(tx, organizationId)
    const issuer = (await store.lockIssuer(tx, { organizationId, id })) ?? notFound()
    refuseStale(issuer, expected)
    return change(tx, issuer, organization)
  })
}

function checked(
  caller: Caller,
  organization: Organization,
  input: Registration,
  { outbound, issuer }: RegistrationContext,
) {
  refuseUnheldGrants(caller, organization, input)
  refuseUnfitUrls(input, outbound, issuer)
  return checkedRegistration(input, organization.id)
}

async function refuseTaken(
  tx: Db,
  organizationId: string,
  { issuer, audience }: Registration,
  except?: string,
): Promise<void> {
  if (!(await store.isRegistered(tx, { organizationId, issuer, audience }, except))) return
  throw new AppError('already_exists', 'This issuer is registered for this audience already.')
}

function stored({ claims, groupPermissions, ...same }: RegistrationInput) {
  return { ...same, claims: JSON.stringify(claims), groupPermissions: JSON.stringify(groupPermissions) }
}

type RegistrationInput = ReturnType<typeof checkedRegistration>

/** The registration as its author gave it. */
function inputOf(issuer: TrustedIssuer): RegistrationInput {
  const { name, jwksUri, audience, algorithms, claims, defaultPermissions, groupPermissions } = issuer
  return {
    ...{ name, issuer: issuer.issuer, jwksUri, audience },
    ...{ algorithms, claims, defaultPermissions, groupPermissions },
  }
}

async function log(
  tx: Db,
  caller: Caller,
  action: Action,
  { organizationId, id, name }: TrustedIssuer,
  changes?: Changes,
): Promise<void> {
  const target = { type: 'trusted_issuer', id, name } as const
  await record(tx, caller, { organizationId, action, target, ...(changes && { changes }) })
}

function notFound(): never {
  throw new AppError('not_found', 'There is no such trusted issuer.')
}
