/** The permissions of management tokens, granted as scopes. `platform:admin` includes all others. */
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
