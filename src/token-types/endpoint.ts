/** The URL where an organization's tokens are used, from the template of their type. */
export function expandEndpoint(template: string | null, organizationKey: string): string | null {
  return template?.replaceAll('{organization}', organizationKey) ?? null
}
