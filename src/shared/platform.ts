/**
 * The organization of everything that belongs to no tenant: platform administrators, and resource servers that serve
 * every organization. The first migration creates it; it cannot be suspended or deleted.
 */
export const platformId = '00000000-0000-7000-8000-000000000000'
export const platformKey = 'platform'

/** The token type of Counterfoil's own tokens, whose scopes are permissions. */
export const managementType = 'management'
