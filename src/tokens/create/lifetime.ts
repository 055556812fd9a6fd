import { invalidValue } from '../../shared/errors.ts'
import { type Policy, shortestLifetime } from '../../shared/policy.ts'

/** The requested expiry and the member that gave it; null means no expiry. */
export type AskedExpiry = {
  at: Date | null
  field: 'lifetime_days' | 'lifetime_seconds' | 'expires_at' | 'never_expires'
  /** The expiry of a token from elsewhere, which may be near or past. */
  isKept?: true
}

/** A difference between the request and the token. */
export type Warning = {
  code: 'lifetime_reduced' | 'identity_source_kept'
  message: string
  /** Null: no expiry. */
  requested: string | null
  granted: string
}

export const dayMs = 24 * 60 * 60 * 1000

/** The expiry of a new token under the rules of the policy; `asked` is undefined if the request has none. */
export function grantExpiry(
  policy: Policy['lifetime'],
  asked: AskedExpiry | undefined,
  now: Date,
): { expiresAt: Date | null; warnings: Warning[] } {
  const { maximum_days: maximum, default_days } = policy
  const minimum = shortestLifetime(policy).seconds
  if (asked === undefined && default_days !== null)
    return { expiresAt: daysFrom(now, default_days), warnings: [] }
  const { at, field } = asked ?? { at: null, field: 'expires_at' }
  if (at === null) {
    if (policy.allow_no_expiry) return { expiresAt: null, warnings: [] }
    if (asked && maximum !== null && policy.on_too_long === 'reduce') return reducedTo(maximum, null, now)
    throw invalidValue(field, 'is required: the organization does not allow tokens that never expire')
  }
  if (!asked?.isKept && at.getTime() - now.getTime() < minimum * 1000)
    throw invalidValue(field, `must be at least ${inWords(minimum)} ahead`)
  if (maximum === null || at <= daysFrom(now, maximum)) return { expiresAt: at, warnings: [] }
  if (policy.on_too_long === 'refuse') throw invalidValue(field, `must be at most ${inDays(maximum)} ahead`)
  return reducedTo(maximum, at, now)
}

export function daysFrom(now: Date, days: number): Date {
  return new Date(now.getTime() + days * dayMs)
}

function reducedTo(
  maximum: number,
  requested: Date | null,
  now: Date,
): { expiresAt: Date; warnings: Warning[] } {
  const expiresAt = daysFrom(now, maximum)
  const warning: Warning = {
    code: 'lifetime_reduced',
    message: `The lifetime is reduced to ${inDays(maximum)}, the longest that the policy allows.`,
    requested: requested?.toISOString() ?? null,
    granted: expiresAt.toISOString(),
  }
  return { expiresAt, warnings: [warning] }
}

function inDays(days: number): string {
  return days === 1 ? 'one day' : `${days} days`
}

function inWords(seconds: number): string {
  if (seconds % 86_400 === 0) return inDays(seconds / 86_400)
  if (seconds % 60 !== 0) return `${seconds} seconds`
  return seconds === 60 ? 'one minute' : `${seconds / 60} minutes`
}
