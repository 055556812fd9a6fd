import { type Caller, type Origin, reaches, requirePermission } from '../access/caller.ts'
import { type Permission, permissions } from '../access/permissions.ts'
import { type Action, eventsOf, type Happening, record } from '../audit/audit.ts'
import { differences } from '../audit/changes.ts'
import type { Db } from '../db/database.ts'
import type { Changes } from '../db/tables.ts'
import { AppError } from '../errors.ts'
import { type Attempt, type Outcome, once } from '../idempotency/idempotency.ts'
import { keepOrganization, reachableOrganization } from '../organizations/reach.ts'
import { managementType } from '../platform.ts'
import type { Policy } from '../policy/document.ts'
import { effectivePolicy } from '../policy/effective.ts'
import { type ExpectedVersions, refuseStale } from '../versions.ts'
import { onlyOwner, ownerOfNew, presentedToken } from './access.ts'
import {
  type EnvironmentSecret,
  environmentToken,
  environmentTokenId,
  refuseEnvironment,
  refuseEnvironmentSecret,
} from './environment/environment.ts'
import { type Issued, issueToken, type NewToken } from './issue.ts'
import type { Issuing } from './mint.ts'
import { refuseShortName } from './name.ts'
import { refuseWiderView } from './narrowing.ts'
import { claimName } from './places.ts'
import type { Secret } from './secret.ts'
import * as store from './store.ts'

/** `present` makes of the token what a retry with the same Idempotency-Key is to be answered with too. */
export async function createToken<Answer>(
  db: Db,
  caller: Caller,
  organizationKey: string,
  input: NewToken,
  attempt: Attempt,
  issuing: Issuing,
  present: (issued: Issued) => Answer,
): Promise<Outcome<Answer>> {
  const organization = await reachableOrganization(db, caller, organizationKey)
  const { id } = organization
  const self = onlyOwner(caller, 'tokens:write')
  if (self !== undefined && input.owner && input.owner.subject !== self)
    requirePermission(caller, 'tokens:write')
  if (input.type === managementType) {
    refuseUnheldPermissions(caller, input.scopes ?? [])
    refuseWiderView(caller, organization, input)
  }
  const owner = ownerOfNew(caller, self, input.owner)
  const origin = onBehalfOf(caller, owner)
  return once(db, caller, id, attempt, async (tx) =>
    present(await issueToken(tx, origin, id, { ...input, owner }, issuing)),
  )
}

/** Who creates a token for a user acts on behalf of that user, unless it is the user. */
function onBehalfOf(caller: Caller, owner: NewToken['owner']): Origin {
  if (!owner || owner.subject === caller.principal.ownerSubject) return caller
  return { ...caller, onBehalfOf: owner.subject }
}

export async function getToken(
  db: Db,
  caller: Caller,
  organizationKey: string,
  id: string,
  environment: EnvironmentSecret | undefined,
): Promise<store.Token> {
  const { id: organizationId } = await reachableOrganization(db, caller, organizationKey)
  const self = onlyOwner(caller, 'tokens:read')
  return visible(await find(db, { organizationId, id }, environment), self)
}

export async function updateToken(
  db: Db,
  caller: Caller,
  organizationKey: string,
  id: string,
  change: store.TokenChange,
  expected: ExpectedVersions,
): Promise<store.Token> {
  const holdPolicy = change.name !== undefined
  const where = { organizationKey, id, expected, holdPolicy }
  return changing(db, caller, where, async (tx, token, policy) => {
    const changes = differences(token, change)
    if (!changes) return token
    if (change.name !== undefined && change.name !== token.name) {
      refuseShortName(policy.name, change.name)
      await claimName(tx, policy, token, change.name)
    }
    const changed = await store.updateToken(tx, token, { ...change, updatedAt: caller.now })
    await record(tx, caller, happening('token.updated', changed, changes))
    return changed
  })
}

export async function revokeToken(
  db: Db,
  caller: Caller,
  organizationKey: string,
  id: string,
  reason: string | null,
): Promise<store.Token> {
  const { id: organizationId } = await reachableOrganization(db, caller, organizationKey)
  const self = onlyOwner(caller, 'tokens:write')
  refuseEnvironment(organizationId, id)
  return revoke(db, caller, reason, async () =>
    visible(await store.findToken(db, { organizationId, id }), self),
  )
}

export async function deleteToken(
  db: Db,
  caller: Caller,
  organizationKey: string,
  id: string,
  { expected, confirm }: { expected: ExpectedVersions; confirm: string | undefined },
): Promise<void> {
  await changing(db, caller, { organizationKey, id, expected }, async (tx, token, policy) => {
    refuseUnconfirmed(policy, token, confirm)
    await record(tx, caller, happening('token.deleted', token))
    await store.deleteToken(tx, token)
  })
}

/** The token that the caller itself presented. */
export async function getSelf(
  db: Db,
  caller: Caller,
  environment: EnvironmentSecret | undefined,
): Promise<store.Token> {
  const { organizationId, id } = presentedToken(caller)
  return visible(await find(db, { organizationId, id }, environment), undefined)
}

/** Whoever holds a token may end it, whatever its permissions. */
export async function revokeSelf(db: Db, caller: Caller, reason: string | null): Promise<store.Token> {
  const { organizationId, id } = presentedToken(caller)
  refuseEnvironment(organizationId, id)
  return revoke(db, caller, reason, async () =>
    visible(await store.findToken(db, { organizationId, id }), undefined),
  )
}

/** RFC 7009 §2.2: an unknown token, or one beyond the caller's reach, is no error and shows no difference. */
export async function revokeBySecret(
  db: Db,
  caller: Caller,
  secret: Secret,
  environment: EnvironmentSecret | undefined,
): Promise<void> {
  const self = onlyOwner(caller, 'tokens:write')
  if (self === undefined && environment) await refuseEnvironmentSecret(db, caller, environment, secret)
  if (secret.isMistyped()) return
  await revoke(db, caller, null, async () => {
    const token = await store.findTokenByHash(db, secret.hash())
    if (!token || !reaches(caller.principal, token.organizationId)) return undefined
    return self === undefined || token.ownerSubject === self ? token : undefined
  })
}

/** Revoking what is revoked changes nothing: who did it first, when and why stays. */
async function revoke<Found extends store.Token | undefined>(
  db: Db,
  caller: Caller,
  reason: string | null,
  find: () => Promise<Found>,
): Promise<store.Token | Found> {
  const token = await find()
  if (!token || token.revokedAt) return token
  const revocation = {
    revokedAt: caller.now,
    revokedBy: JSON.stringify(caller.actor),
    revokedReason: reason,
  }
  const event = happening('token.revoked', token, { before: {}, after: { reason } })
  const revoked = await store.revokeToken(db, token, revocation, eventsOf(caller, [event]))
  // Nothing was revoked if somebody else changed the token meanwhile: what they made of it decides.
  return revoked ?? revoke(db, caller, reason, find)
}

type Where = {
  organizationKey: string
  id: string
  expected?: ExpectedVersions
  /** Keeps the policy as it is until the change is made. */
  holdPolicy?: boolean
}

/** Locks what is about to change, once it is clear that the caller may, and that nobody else changed it meanwhile. */
export async function changing<T>(
  db: Db,
  caller: Caller,
  { organizationKey, id, expected, holdPolicy = false }: Where,
  change: (tx: Db, token: store.Token, policy: Policy) => Promise<T>,
): Promise<T> {
  const organization = await reachableOrganization(db, caller, organizationKey)
  const { id: organizationId } = organization
  const self = onlyOwner(caller, 'tokens:write')
  refuseEnvironment(organizationId, id)
  return db.transaction().execute(async (tx) => {
    // Always the organization before the token: those who lock both never wait for each other.
    const { policy } = holdPolicy ? await keepOrganization(tx, organizationId) : organization
    const token = visible(await store.lockToken(tx, { organizationId, id }), self)
    refuseStale(token, expected)
    return change(tx, token, effectivePolicy(policy))
  })
}

/** A name that is given has to be the right one, whether the policy asks for it or not. */
function refuseUnconfirmed(policy: Policy, { name }: store.Token, confirm: string | undefined): void {
  if (confirm === name || (confirm === undefined && !policy.delete.confirm_name)) return
  const detail = confirm === undefined ? 'is required: the name of the token' : 'is not the name of the token'
  throw new AppError('confirmation_required', `confirm ${detail}`, {
    fields: [{ in: 'query', field: 'confirm', detail }],
  })
}

async function find(
  db: Db,
  { organizationId, id }: { organizationId: string; id: string },
  environment: EnvironmentSecret | undefined,
): Promise<store.Token | undefined> {
  if (id === environmentTokenId(organizationId)) return environmentToken(db, environment, organizationId)
  return store.findToken(db, { organizationId, id })
}

/** Nobody hands out what they do not hold. */
export function refuseUnheldPermissions(caller: Caller, scopes: string[]): void {
  const asked: Permission[] = permissions.filter((permission) => scopes.includes(permission))
  for (const permission of asked) requirePermission(caller, permission)
}

function visible(token: store.Token | undefined, owner: string | undefined): store.Token {
  if (token && (owner === undefined || token.ownerSubject === owner)) return token
  throw new AppError('not_found', 'There is no such token.')
}

function happening(action: Action, { organizationId, id, name }: store.Token, changes?: Changes): Happening {
  return { organizationId, action, target: { type: 'token', id, name }, ...(changes && { changes }) }
}
