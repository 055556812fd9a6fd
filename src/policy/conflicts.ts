import type { FieldError } from '../shared/errors.ts'
import type { Policy } from '../shared/policy.ts'

/** Rules of a policy that contradict each other, each with the member to change. */
export function conflictsIn(policy: Policy, typeNames: string[]): FieldError[] {
  return [...lifetimeConflicts(policy), ...otherConflicts(policy, typeNames)].map(([field, detail]) => ({
    in: 'body',
    field,
    detail,
  }))
}

type Conflict = [field: string, detail: string]

function lifetimeConflicts({ lifetime }: Policy): Conflict[] {
  const { minimum_days: minimum, maximum_days: maximum, presets_days, default_days } = lifetime
  if (maximum !== null && minimum > maximum)
    return [['lifetime.minimum_days', `is more than the maximum of ${maximum} days`]]
  const fits = (days: number) => days >= minimum && (maximum === null || days <= maximum)
  const range = maximum === null ? `at least ${minimum} days` : `${minimum} to ${maximum} days`
  const conflicts: Conflict[] = []
  const unfitting = presets_days.find((days) => !fits(days))
  if (unfitting !== undefined)
    conflicts.push(['lifetime.presets_days', `has ${unfitting}; allowed is ${range}`])
  if (default_days !== null && !fits(default_days))
    conflicts.push(['lifetime.default_days', `is ${default_days}; allowed is ${range}`])
  if (lifetime.allow_no_expiry && maximum !== null)
    conflicts.push(['lifetime.allow_no_expiry', `must be false if there is a maximum (${maximum} days)`])
  return conflicts
}

function otherConflicts({ allowed_types, expiry_warning }: Policy, typeNames: string[]): Conflict[] {
  const conflicts: Conflict[] = []
  const unknown = allowed_types?.find((name) => !typeNames.includes(name))
  if (unknown !== undefined) conflicts.push(['allowed_types', `has ${unknown}, which is not a token type`])
  if (expiry_warning.imminent_hours > expiry_warning.warning_days * 24)
    conflicts.push(['expiry_warning.imminent_hours', 'must not be more than warning_days'])
  return conflicts
}
