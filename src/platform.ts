/**
 * The organization that owns what belongs to no tenant: the platform administrators, and resource servers that
 * serve every organization. It exists from the first migration on and can be neither suspended nor deleted.
 */
export const platformId = '00000000-0000-7000-8000-000000000000'
export const platformKey = 'platform'

/** The token type of Counterfoil's own tokens, whose scopes are permissions. */
export const managementType = 'management'
