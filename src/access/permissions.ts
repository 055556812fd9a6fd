/** The permissions of management tokens, granted as scopes. `platform:admin` includes all others. */
export const permissions = [
  'tokens:read',
  'tokens:write',
  'tokens:own',
  'tokens:introspect',
  'leaks:report',
  'policy:read',
  'policy:write',
  'audit:read',
  'scim',
  'platform:admin',
] as const

export type Permission = (typeof permissions)[number]

const described: Record<Permission, [label: string, description: string]> = {
  'tokens:read': ['Read tokens', 'List and read all tokens of the organization.'],
  'tokens:write': [
    'Manage tokens',
    'Create, change, rotate, revoke and delete all tokens of the organization.',
  ],
  'tokens:own': ['Manage own tokens', "Read, create, change, rotate, revoke and delete the owner's tokens."],
  'tokens:introspect': ['Introspect tokens', 'Check tokens that clients present, and follow revocations.'],
  'leaks:report': ['Report leaks', 'Report leaked secrets.'],
  'policy:read': ['Read policy', 'Read the policy of the organization.'],
  'policy:write': [
    'Manage policy',
    'Change the policy, the token types and the issuers of the organization.',
  ],
  'audit:read': ['Read change log', 'Read and export the change log.'],
  scim: [
    'Provision users',
    'Manage the users of the directory by SCIM, and with them suspend and resume owners.',
  ],
  'platform:admin': ['Administer platform', 'Everything, in all organizations.'],
}

/** Labels for the scopes of management tokens. */
export const permissionDetails = permissions.map((scope) => {
  const [label, description] = described[scope]
  return { scope, label, description }
})
