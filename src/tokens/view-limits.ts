import type { Narrowing } from '../access/credential.ts'
import type { Db } from '../db/database.ts'
import type { Organization } from '../db/tables.ts'
import { unknownOrganizations } from '../organizations/lookup.ts'
import { invalidValue } from '../shared/errors.ts'
import { managementType, platformId } from '../shared/platform.ts'
import { unknownTokenTypes } from '../token-types/token-types.ts'

const permission = 'tokens:introspect'

/** Only tokens that can introspect can be narrowed. */
export async function refuseWrongNarrowing(
  tx: Db,
  { id }: Pick<Organization, 'id'>,
  type: string,
  scopes: string[],
  narrowing: Narrowing | null,
): Promise<void> {
  if (!narrowing) return
  if (type !== managementType || !scopes.includes(permission))
    throw invalidValue('narrowed_to', `is for management tokens with ${permission} only`)
  if (scopes.includes('platform:admin'))
    throw invalidValue('narrowed_to', 'limits nothing together with platform:admin')
  const { organizations = [], types = [] } = narrowing
  if (organizations.length > 0 && id !== platformId)
    throw invalidValue(
      'narrowed_to.organizations',
      'is for tokens of the platform organization, which alone see others',
    )
  const [organization] = await unknownOrganizations(tx, organizations)
  if (organization !== undefined)
    throw invalidValue(
      'narrowed_to.organizations',
      `has ${organization}, which is not the key of an organization`,
    )
  const [unknown] = await unknownTokenTypes(tx, types)
  if (unknown !== undefined)
    throw invalidValue('narrowed_to.types', `has ${unknown}, which is not a token type`)
}
