import { type Caller, holds, onBehalfOf } from '../access/caller.ts'
import { grantOfToken, rejectEscalation } from '../access/escalation.ts'
import { record } from '../audit/audit.ts'
import { changeLocked } from '../audit/change-resource.ts'
import { differences } from '../audit/changes.ts'
import type { Db } from '../db/database.ts'
import { holdOrganization, reachableOrganization } from '../organizations/lookup.ts'
import { effectivePolicy } from '../policy/effective.ts'
import { isWithinNetworks } from '../shared/addresses.ts'
import { AppError } from '../shared/errors.ts'
import type { Policy } from '../shared/policy.ts'
import type { ExpectedVersions } from '../shared/preconditions.ts'
import { plainName } from '../shared/text.ts'
import { tokenEvent, tokenSnapshot } from './audit-event.ts'
import { visible, type Which } from './find.ts'
import { rejectShortName } from './name.ts'
import { claimName } from './quota.ts'
import { rejectStaticToken } from './static-secret/static-secret.ts'
import * as store from './store.ts'
import { onlyOwner } from './token-owner-scope.ts'

export async function updateToken(
  db: Db,
  caller: Caller,
  which: Which,
  { expected, change }: { expected: ExpectedVersions; change: store.TokenChange },
): Promise<store.Token> {
  const holdPolicy = change.name !== undefined
  return changing(db, caller, { ...which, expected, holdPolicy }, async (tx, token, policy) => {
    const changes = differences(token, change)
    if (!changes) return token
    if (change.allowedCidrs !== undefined) rejectWiderNetworks(caller, token, change.allowedCidrs)
    if (change.name !== undefined && change.name !== token.name) {
      rejectShortName(policy.name, change.name)
      await claimName(tx, policy, token, change.name)
    }
    const { metadata, ...rest } = change
    const changed = await store.updateToken(tx, token, {
      ...rest,
      ...(metadata && { metadata: JSON.stringify(metadata) }),
      updatedAt: caller.now,
    })
    await record(tx, onBehalfOf(caller, token.ownerSubject), tokenEvent('token.updated', changed, changes))
    return changed
  })
}

export async function deleteToken(
  db: Db,
  caller: Caller,
  which: Which,
  { expected, confirm }: { expected: ExpectedVersions; confirm: string | undefined },
): Promise<void> {
  await changing(db, caller, { ...which, expected }, async (tx, token, policy) => {
    rejectUnconfirmed(policy, token, confirm)
    const changes = { before: tokenSnapshot(token), after: {} }
    await record(tx, onBehalfOf(caller, token.ownerSubject), tokenEvent('token.deleted', token, changes))
    await store.deleteToken(tx, token, caller.now)
  })
}

type Changing = Which & {
  expected?: ExpectedVersions
  /** Keeps the policy unchanged until the change is made. */
  holdPolicy?: boolean
}

/** Checks permission and preconditions, and locks the token. */
export async function changing<T>(
  db: Db,
  caller: Caller,
  { organization: organizationKey, token: id, expected, holdPolicy = false }: Changing,
  change: (tx: Db, token: store.Token, policy: Policy) => Promise<T>,
): Promise<T> {
  const organization = await reachableOrganization(db, caller, organizationKey)
  const { id: organizationId } = organization
  const self = onlyOwner(caller, 'tokens:write')
  rejectStaticToken(organizationId, id)
  let { policy } = organization
  const lock = async (tx: Db) => {
    // Always lock the organization before the token, to prevent deadlocks.
    if (holdPolicy) ({ policy } = await holdOrganization(tx, organizationId))
    return visible(await store.lockToken(tx, { organizationId, id }), self)
  }
  return changeLocked(db, { lock, expected }, (tx, token) => change(tx, token, effectivePolicy(policy)))
}

/** A name sent for confirmation must match, even if the policy requires none. */
function rejectUnconfirmed(policy: Policy, { name }: store.Token, confirm: string | undefined): void {
  const isGiven = confirm !== undefined && confirm !== ''
  if (isGiven ? plainName(confirm) === plainName(name) : !policy.delete.confirm_name) return
  const detail = !isGiven ? 'is required and must be the name of the token' : 'is not the name of the token'
  throw new AppError('confirmation_required', `confirm ${detail}`, {
    fields: [{ in: 'query', field: 'confirm', detail }],
  })
}

/** Allowing more networks is a grant. Owners cannot do it, because an administrator may have set the limit. */
function rejectWiderNetworks(caller: Caller, token: store.Token, networks: string[] | null): void {
  const added = networks?.filter((network) => !isWithinNetworks([network], token.allowedCidrs)) ?? null
  if (added?.length === 0) return
  if (!holds(caller.principal, 'tokens:write'))
    throw new AppError(
      'insufficient_scope',
      'Adding networks to allowed_cidrs requires the permission tokens:write.',
      {
        scope: 'tokens:write',
      },
    )
  rejectEscalation(caller, { ...grantOfToken(token), networks: added })
}
