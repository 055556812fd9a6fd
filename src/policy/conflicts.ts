import type { FieldError } from '../shared/errors.ts'
import { type Policy, type PolicyDocument, shortestLifetime } from '../shared/policy.ts'
import { effectivePolicy, platformPolicy } from './effective.ts'
import type { MergePatch } from './merge-patch.ts'

/**
 * Rules that contradict each other, each with the member to change. Values that are too long or too short for the limits
 * count only if the request names them: otherwise they yield to the limits (`effectivePolicy`).
 */
export function conflictsIn(
  own: PolicyDocument,
  requested: MergePatch<PolicyDocument>,
  typeNames: string[],
): FieldError[] {
  return [
    ...lifetimeConflicts({ ...platformPolicy.lifetime, ...own.lifetime }, requested.lifetime ?? {}),
    ...rotationConflicts({ ...platformPolicy.rotation, ...own.rotation }, requested.rotation ?? {}),
    ...otherConflicts(effectivePolicy(own), typeNames),
  ].map(([field, detail]) => ({ in: 'body', field, detail }))
}

type Conflict = [field: string, detail: string]

function lifetimeConflicts(
  lifetime: Policy['lifetime'],
  requested: MergePatch<Policy['lifetime']>,
): Conflict[] {
  const { maximum_days: maximum } = lifetime
  const minimum = Math.ceil(shortestLifetime(lifetime).seconds / 86_400)
  if (maximum !== null && minimum > maximum)
    return typeof requested.minimum_days === 'number'
      ? [['lifetime.minimum_days', `is more than the maximum of ${maximum} days`]]
      : [['lifetime.maximum_days', `is less than the minimum of ${minimum} days`]]
  const fits = (days: number) => days >= minimum && (maximum === null || days <= maximum)
  const range = maximum === null ? `at least ${minimum} days` : `${minimum} to ${maximum} days`
  const { presets_days, default_days, allow_no_expiry } = requested
  const conflicts: Conflict[] = []
  const unfitting = presets_days?.find((days) => !fits(days))
  if (unfitting !== undefined)
    conflicts.push(['lifetime.presets_days', `has ${unfitting}; allowed is ${range}`])
  if (typeof default_days === 'number' && !fits(default_days))
    conflicts.push(['lifetime.default_days', `is ${default_days}; allowed is ${range}`])
  if (allow_no_expiry && maximum !== null)
    conflicts.push(['lifetime.allow_no_expiry', `must be false if there is a maximum (${maximum} days)`])
  return conflicts
}

function rotationConflicts(
  { maximum_overlap_seconds: maximum }: Policy['rotation'],
  { default_overlap_seconds: usual }: MergePatch<Policy['rotation']>,
): Conflict[] {
  if (typeof usual !== 'number' || usual <= maximum) return []
  return [['rotation.default_overlap_seconds', `is more than the maximum of ${maximum} seconds`]]
}

function otherConflicts({ allowed_types, expiry_warning }: Policy, typeNames: string[]): Conflict[] {
  const conflicts: Conflict[] = []
  const unknown = allowed_types?.find((name) => !typeNames.includes(name))
  if (unknown !== undefined) conflicts.push(['allowed_types', `has ${unknown}, which is not a token type`])
  if (expiry_warning.imminent_hours > expiry_warning.warning_days * 24)
    conflicts.push(['expiry_warning.imminent_hours', 'must not be more than warning_days'])
  return conflicts
}
