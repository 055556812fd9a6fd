import type { KeyObject } from 'node:crypto'
import { v7 as uuid } from 'uuid'
import { type Caller, requirePermission } from '../access/caller.ts'
import { record } from '../audit/audit.ts'
import { changeLocked, changeResource } from '../audit/change-resource.ts'
import { differences } from '../audit/changes.ts'
import type { Db } from '../db/database.ts'
import type { Organization, TrustedIssuer } from '../db/tables.ts'
import { lockOrganization, reachableOrganization } from '../organizations/lookup.ts'
import type { Outbound } from '../outbound/outbound.ts'
import { AppError } from '../shared/errors.ts'
import type { ExpectedVersions } from '../shared/preconditions.ts'
import { sealedClientSecret } from './client.ts'
import {
  checkedRegistration,
  type Registration,
  rejectOneMore,
  rejectUnfitUrls,
  rejectUnheldGrants,
} from './registration.ts'
import * as store from './store.ts'

/**
 * What a registration is checked against: the URLs that may be called, and our own issuer URL. Master keys encrypt its
 * secret.
 */
export type RegistrationContext = { outbound: Outbound; issuer: string; masterKeys: readonly KeyObject[] }

/** `clientSecret` undefined: unchanged. */
type Input = Registration & { clientSecret: string | undefined }

/** The id of a registration, and the key or id of its organization. */
type Which = { organization: string; issuer: string }

export async function createTrustedIssuer(
  db: Db,
  caller: Caller,
  organizationKey: string,
  { input: { clientSecret, ...input }, context }: { input: Input; context: RegistrationContext },
): Promise<TrustedIssuer> {
  const organization = await administered(db, caller, organizationKey)
  const organizationId = organization.id
  const registration = checked(caller, organization, input, context)
  const id = uuid()
  const sealed = await sealedClientSecret(
    clientSecret,
    { id, ...registration },
    undefined,
    context.masterKeys,
  )
  return db.transaction().execute(async (tx) => {
    await lockOrganization(tx, organizationId)
    rejectOneMore(await store.countIssuers(tx, organizationId))
    await rejectTaken(tx, organizationId, registration)
    const created = await store.insertIssuer(tx, {
      organizationId,
      id,
      ...stored(registration),
      clientSecret: sealed ?? null,
      createdAt: caller.now,
      updatedAt: caller.now,
    })
    const changes = differences<Partial<RegistrationInput>>({}, inputOf(created))
    await record(tx, caller, {
      action: 'trusted_issuer.created',
      ...loggedAs(created),
      ...(changes && { changes }),
    })
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
  { organization, issuer: id }: Which,
): Promise<TrustedIssuer> {
  const { id: organizationId } = await reachableOrganization(db, caller, organization)
  requirePermission(caller, 'policy:read')
  return (await store.findIssuer(db, { organizationId, id })) ?? notFound()
}

/** Takes a complete registration, so that everything it grants or trusts is checked again. */
export async function replaceTrustedIssuer(
  db: Db,
  caller: Caller,
  which: Which,
  {
    expected,
    input: { clientSecret, ...input },
    context,
  }: { expected: ExpectedVersions; input: Input; context: RegistrationContext },
): Promise<TrustedIssuer> {
  const organization = await administered(db, caller, which.organization)
  return changeResource(db, caller, {
    lock: (tx) => lockIssuer(tx, organization, which.issuer),
    expected,
    decide: async (current, tx) => {
      const registration = checked(caller, organization, input, context)
      await rejectTaken(tx, current.organizationId, registration, current.id)
      const { id } = current
      const sealed = await sealedClientSecret(
        clientSecret,
        { id, ...registration },
        current,
        context.masterKeys,
      )
      const changes = differences<Partial<RegistrationInput>>(inputOf(current), registration)
      if (!changes && sealed === undefined) return undefined
      const values = { ...registration, ...(sealed !== undefined && { clientSecret: sealed }) }
      return { action: 'trusted_issuer.updated', values, ...(changes && { changes }) }
    },
    write: (tx, issuer, values) => store.updateIssuer(tx, issuer, stored(values)),
    loggedAs,
  })
}

/** From then on its users can no longer sign in. Tokens that they created remain. */
export async function deleteTrustedIssuer(
  db: Db,
  caller: Caller,
  which: Which,
  expected: ExpectedVersions,
): Promise<void> {
  const organization = await administered(db, caller, which.organization)
  const lock = (tx: Db) => lockIssuer(tx, organization, which.issuer)
  await changeLocked(db, { lock, expected }, async (tx, issuer) => {
    await store.deleteIssuer(tx, issuer)
    await record(tx, caller, { action: 'trusted_issuer.deleted', ...loggedAs(issuer) })
  })
}

async function administered(db: Db, caller: Caller, organizationKey: string): Promise<Organization> {
  const organization = await reachableOrganization(db, caller, organizationKey)
  requirePermission(caller, 'policy:write')
  return organization
}

/** The lock on the organization keeps two concurrent changes from creating the same registration twice. */
async function lockIssuer(tx: Db, { id: organizationId }: Organization, id: string): Promise<TrustedIssuer> {
  await lockOrganization(tx, organizationId)
  return (await store.lockIssuer(tx, { organizationId, id })) ?? notFound()
}

function checked(
  caller: Caller,
  organization: Organization,
  input: Registration,
  { outbound, issuer }: RegistrationContext,
) {
  rejectUnheldGrants(caller, organization, input)
  rejectUnfitUrls(input, outbound, issuer)
  return checkedRegistration(input, organization.id)
}

async function rejectTaken(
  tx: Db,
  organizationId: string,
  { issuer, audience }: Registration,
  except?: string,
): Promise<void> {
  if (!(await store.isRegistered(tx, { organizationId, issuer, audience }, except))) return
  throw new AppError('already_exists', 'This issuer is registered for this audience already.')
}

function stored<Values extends Partial<RegistrationInput>>({ claims, groupPermissions, ...same }: Values) {
  return { ...same, claims: JSON.stringify(claims), groupPermissions: JSON.stringify(groupPermissions) }
}

type RegistrationInput = ReturnType<typeof checkedRegistration>

/** The registration as its author wrote it. */
function inputOf(issuer: TrustedIssuer): RegistrationInput {
  const { name, jwksUri, audience, algorithms, claims, defaultPermissions, groupPermissions } = issuer
  const { clientId, scope } = issuer
  return {
    name,
    issuer: issuer.issuer,
    jwksUri,
    audience,
    algorithms,
    claims,
    defaultPermissions,
    groupPermissions,
    clientId,
    scope,
  }
}

function loggedAs({ organizationId, id, name }: TrustedIssuer) {
  return { organizationId, target: { type: 'trusted_issuer', id, name } } as const
}

function notFound(): never {
  throw new AppError('not_found', 'There is no such trusted issuer.')
}
