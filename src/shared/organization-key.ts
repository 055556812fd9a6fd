/**
 * Keys of organizations. They start with a letter or digit, so that they cannot be `.` or `..`, which would change
 * paths.
 */
export const organizationKeyPattern = '^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$'

const pattern = new RegExp(organizationKeyPattern)

/** Whether it can be the key of an organization. Ids can be keys, too. */
export function isOrganizationKey(text: string): boolean {
  return pattern.test(text)
}

/** Whether these are the same key in any case. */
export function isSameKey(one: string, other: string): boolean {
  return one === other || (one.length === other.length && one.toLowerCase() === other.toLowerCase())
}
