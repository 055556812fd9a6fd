/** Keys of organizations; a start that cannot be `.` or `..` keeps paths as they are. */
export const organizationKeyPattern = '^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$'

const pattern = new RegExp(organizationKeyPattern)

/** Whether it can be the key of an organization. Ids can be keys, too. */
export function isOrganizationKey(text: string): boolean {
  return pattern.test(text)
}

/** Whether these are the same key, which differ in case at most. */
export function isSameKey(one: string, other: string): boolean {
  return one === other || (one.length === other.length && one.toLowerCase() === other.toLowerCase())
}
