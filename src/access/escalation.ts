import { isWithinNetworks } from '../shared/addresses.ts'
import { AppError } from '../shared/errors.ts'
import { managementType, platformId } from '../shared/platform.ts'
import { type Caller, holds, insufficientScope } from './caller.ts'
import type { Credential, Narrowing } from './credential.ts'
import { isWithin } from './narrowing.ts'
import { type Permission, permissions } from './permissions.ts'

/**
 * The access that a credential gives its holder, or the most that credentials derived from something can give. An empty
 * list gives no access of its kind.
 */
export type Grant = {
  permissions: readonly Permission[]
  /** A missing member means no limit. */
  narrowedTo: Narrowing
  /** Null: usable from any address. */
  networks: readonly string[] | null
}

export type GrantingToken = Pick<
  Credential,
  'organizationId' | 'organizationKey' | 'type' | 'scopes' | 'audience' | 'narrowedTo' | 'allowedCidrs'
>

/** A management token gives its scopes within its narrowing; any other token counts by its own properties. */
export function grantOfToken(token: GrantingToken): Grant {
  const { organizationId, organizationKey, type, scopes, audience, allowedCidrs: networks } = token
  const organizations = [organizationKey]
  if (type !== managementType) {
    // A token without an audience may be accepted by every resource server.
    const narrowedTo = { organizations, types: [type], ...(audience.length > 0 && { audience }) }
    return { permissions: [], narrowedTo, networks }
  }
  return {
    permissions: permissions.filter((permission) => scopes.includes(permission)),
    narrowedTo: { ...token.narrowedTo, ...(organizationId !== platformId && { organizations }) },
    networks,
  }
}

const limits = [
  { of: 'organizations', access: 'to organizations', member: 'narrowed_to.organizations' },
  { of: 'audience', access: 'to audiences', member: 'narrowed_to.audience' },
  { of: 'types', access: 'to token types', member: 'narrowed_to.types' },
] as const

/** Why the caller cannot grant this; undefined if it holds all of it itself. */
export function escalationBy({ principal }: Caller, grant: Grant): AppError | undefined {
  const unheld = grant.permissions.find((permission) => !holds(principal, permission))
  if (unheld) return insufficientScope(unheld)
  for (const { of, access, member } of limits) {
    if (!isWithin(grant.narrowedTo, principal.narrowedTo, of)) return beyond(access, member)
  }
  if (!isWithinNetworks(grant.networks, principal.allowedCidrs))
    return beyond('from networks', 'allowed_cidrs')
  return undefined
}

/**
 * Callers cannot grant more than they hold. Every operation that creates a credential, widens one, adds a key to one or
 * changes what future credentials are derived from must call this.
 */
export function rejectEscalation(caller: Caller, grant: Grant): void {
  const refusal = escalationBy(caller, grant)
  if (refusal) throw refusal
}

function beyond(access: string, member: string): AppError {
  return new AppError(
    'insufficient_scope',
    `This would give access ${access} that the credential of this request does not have (see its ${member}).`,
  )
}
