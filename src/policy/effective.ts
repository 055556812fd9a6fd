import type { Policy, PolicyDocument } from '../shared/policy.ts'

/** The defaults for whatever an organization does not set. */
export const platformPolicy: Policy = {
  lifetime: {
    presets_days: [7, 30, 60, 90, 365],
    minimum_days: 1,
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
}

export type Source = 'platform' | 'organization'

/** The platform's policy overridden by the organization's own. */
export function effectivePolicy(own: PolicyDocument): Policy {
  const base = inherited(own)
  return {
    lifetime: { ...base.lifetime, ...own.lifetime },
    name: { ...base.name, ...own.name },
    limits: { ...base.limits, ...own.limits },
    scopes: { ...base.scopes, ...own.scopes },
    creation: { ...base.creation, ...own.creation },
    delete: { ...base.delete, ...own.delete },
    allowed_types: own.allowed_types === undefined ? base.allowed_types : own.allowed_types,
    expiry_warning: { ...base.expiry_warning, ...own.expiry_warning },
  }
}

/** The origin of each value of the effective policy, by name (`lifetime.maximum_days`). */
export function sourcesOf(own: PolicyDocument): Record<string, Source> {
  const ownNames = new Set(memberNames(own))
  return Object.fromEntries(
    memberNames(platformPolicy).map((name) => [name, ownNames.has(name) ? 'organization' : 'platform']),
  )
}

/** Platform defaults yield to limits that the organization sets, so that those limits can be set alone. */
function inherited({ lifetime = {} }: PolicyDocument): Policy {
  const { minimum_days: minimum = 1, maximum_days: maximum = null } = lifetime
  const { presets_days } = platformPolicy.lifetime
  return {
    ...platformPolicy,
    lifetime: {
      ...platformPolicy.lifetime,
      presets_days: presets_days.filter((days) => days >= minimum && (maximum === null || days <= maximum)),
      allow_no_expiry: maximum === null,
    },
  }
}

function memberNames(document: object): string[] {
  return Object.entries(document).flatMap(([section, value]) =>
    typeof value === 'object' && value !== null && !Array.isArray(value)
      ? Object.keys(value).map((member) => `${section}.${member}`)
      : [section],
  )
}
