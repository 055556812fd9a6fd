import { isDeepStrictEqual } from 'node:util'
import { type Policy, type PolicyDocument, shortestLifetime } from '../shared/policy.ts'

/** The defaults for the rules that an organization does not set. */
export const platformPolicy: Policy = {
  lifetime: {
    presets_days: [7, 30, 60, 90, 365],
    minimum_days: 1,
    minimum_seconds: null,
    maximum_days: null,
    on_too_long: 'refuse',
    allow_no_expiry: true,
    default_days: null,
  },
  name: { required: true, minimum_length: 1, unique: false },
  limits: { active_per_owner: null, active_per_organization: null },
  scopes: { required: false },
  creation: { sso_users: true },
  delete: { confirm_name: false },
  allowed_types: null,
  expiry_warning: { warning_days: 5, imminent_hours: 24 },
  rotation: {
    default_overlap_seconds: 24 * 60 * 60,
    maximum_overlap_seconds: 30 * 24 * 60 * 60,
    first_use_within_days: 7,
    every_days: null,
    keep_superseded_days: 90,
    on_superseded_use: 'notify',
  },
  on_leak: 'revoke',
  notifications: { expiry_days: [30, 7, 1], mail_owners: true, mail_to: [] },
  scim: { subject: 'user_name' },
}

export type Source = 'platform' | 'organization'

/** The platform's policy overridden by the organization's own. */
export function effectivePolicy(own: PolicyDocument): Policy {
  return {
    lifetime: consistentLifetime({ ...platformPolicy.lifetime, ...own.lifetime }),
    name: { ...platformPolicy.name, ...own.name },
    limits: { ...platformPolicy.limits, ...own.limits },
    scopes: { ...platformPolicy.scopes, ...own.scopes },
    creation: { ...platformPolicy.creation, ...own.creation },
    delete: { ...platformPolicy.delete, ...own.delete },
    allowed_types: own.allowed_types === undefined ? platformPolicy.allowed_types : own.allowed_types,
    expiry_warning: { ...platformPolicy.expiry_warning, ...own.expiry_warning },
    rotation: consistentRotation({ ...platformPolicy.rotation, ...own.rotation }),
    on_leak: own.on_leak ?? platformPolicy.on_leak,
    notifications: { ...platformPolicy.notifications, ...own.notifications },
    scim: { ...platformPolicy.scim, ...own.scim },
  }
}

/**
 * The origin of each value of the effective policy, by name. A default that an own limit changes counts as the
 * organization's.
 */
export function sourcesOf(own: PolicyDocument): Record<string, Source> {
  const ownValues = membersOf(own)
  const platform = membersOf(platformPolicy)
  const isOwn = ([name, value]: [string, unknown]) =>
    ownValues.has(name) || !isDeepStrictEqual(value, platform.get(name))
  return Object.fromEntries(
    [...membersOf(effectivePolicy(own))].map((member) => [
      member[0],
      isOwn(member) ? 'organization' : 'platform',
    ]),
  )
}

/** The default overlap yields to the maximum. */
function consistentRotation(rotation: Policy['rotation']): Policy['rotation'] {
  const { default_overlap_seconds: usual, maximum_overlap_seconds: maximum } = rotation
  return { ...rotation, default_overlap_seconds: Math.min(usual, maximum) }
}

/** Presets, default and tokens without expiry yield to the limits, so that limits can be set and removed alone. */
function consistentLifetime(lifetime: Policy['lifetime']): Policy['lifetime'] {
  const { maximum_days, presets_days, default_days } = lifetime
  const minimum = Math.ceil(shortestLifetime(lifetime).seconds / 86_400)
  const maximum = maximum_days ?? Number.POSITIVE_INFINITY
  return {
    ...lifetime,
    presets_days: presets_days.filter((days) => days >= minimum && days <= maximum),
    allow_no_expiry: lifetime.allow_no_expiry && maximum_days === null,
    default_days: default_days === null ? null : Math.max(minimum, Math.min(default_days, maximum)),
  }
}

/** The values of a policy by their names, such as `lifetime.maximum_days`. */
function membersOf(document: object): Map<string, unknown> {
  return new Map(
    Object.entries(document).flatMap(([section, value]) =>
      typeof value === 'object' && value !== null && !Array.isArray(value)
        ? Object.entries(value).map(([member, value]): [string, unknown] => [`${section}.${member}`, value])
        : [[section, value] as [string, unknown]],
    ),
  )
}
