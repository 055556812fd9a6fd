import { type Policy, shortestLifetime } from '../shared/policy.ts'
import type { Tightened } from './store.ts'

export function tightened(before: Policy, after: Policy): Tightened {
  return {
    maximumDays: lowered(before.lifetime.maximum_days, after.lifetime.maximum_days),
    minimum: raisedMinimum(before.lifetime, after.lifetime),
    expiry: turned(!before.lifetime.allow_no_expiry, !after.lifetime.allow_no_expiry),
    minimumLength: raised(before.name.minimum_length, after.name.minimum_length),
    uniqueName: turned(before.name.unique, after.name.unique),
    activePerOwner: lowered(before.limits.active_per_owner, after.limits.active_per_owner),
    activePerOrganization: lowered(
      before.limits.active_per_organization,
      after.limits.active_per_organization,
    ),
    scopes: turned(before.scopes.required, after.scopes.required),
    noSsoUsers: turned(!before.creation.sso_users, !after.creation.sso_users),
    types: narrowed(before.allowed_types, after.allowed_types),
  }
}

/** Null means no limit. */
function lowered(before: number | null, after: number | null): number | null {
  return after !== null && (before === null || after < before) ? after : null
}

function raisedMinimum(before: Policy['lifetime'], after: Policy['lifetime']): Tightened['minimum'] {
  const minimum = shortestLifetime(after)
  return minimum.seconds > shortestLifetime(before).seconds ? minimum : null
}

function raised(before: number, after: number): number | null {
  return after > before ? after : null
}

function turned(before: boolean, after: boolean): true | null {
  return after && !before ? true : null
}

/** Null means all types. */
function narrowed(before: string[] | null, after: string[] | null): string[] | null {
  const allowed = new Set(after)
  return after !== null && (before === null || before.some((type) => !allowed.has(type))) ? after : null
}
