/** The address where the tokens of an organization are used, out of the template of their type. */
export function expandEndpoint(template: string | null, organizationKey: string): string | null {
  return template?.replaceAll('{organization}', organizationKey) ?? null
}
