/** What a management token may be allowed to do; they are its scopes. `platform:admin` includes the others. */
export const permissions = [
  'tokens:read',
  'tokens:write',
  'tokens:own',
  'tokens:introspect',
  'policy:read',
  'policy:write',
  'audit:read',
  'platform:admin',
] as const

export type Permission = (typeof permissions)[number]
