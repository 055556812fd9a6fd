import type { Narrowing } from '../access/credential.ts'
import type { Db } from '../db/database.ts'
import type { Organization } from '../db/tables.ts'
import { keysAsKept, unknownOrganizations } from '../organizations/lookup.ts'
import { invalidValue } from '../shared/errors.ts'
import { managementType, platformId } from '../shared/platform.ts'
import { unknownTokenTypes } from '../token-types/token-types.ts'

const permission = 'tokens:introspect'

/** Limits are compared with keys as they are stored, regardless of the case in the request. */
export async function withKeysAsKept(db: Db, narrowing: Narrowing | null): Promise<Narrowing | null> {
  if (!narrowing?.organizations) return narrowing
  return { ...narrowing, organizations: await keysAsKept(db, narrowing.organizations) }
}

/** Only tokens that can introspect can be narrowed. */
export async function rejectWrongNarrowing(
  tx: Db,
  { id, key }: Pick<Organization, 'id' | 'key'>,
  { type, scopes, narrowedTo }: { type: string; scopes: string[]; narrowedTo: Narrowing | null },
): Promise<void> {
  if (!narrowedTo) return
  if (type !== managementType || !scopes.includes(permission))
    throw invalidValue('narrowed_to', `is only for management tokens with ${permission}`)
  if (scopes.includes('platform:admin'))
    throw invalidValue('narrowed_to', 'has no effect together with platform:admin')
  const { organizations = [], types = [] } = narrowedTo
  if (organizations.length > 0 && id !== platformId)
    throw invalidValue(
      'narrowed_to.organizations',
      'is only for tokens of the platform organization, since others see only their own organization',
    )
  const [organization] = await unknownOrganizations(tx, organizations)
  if (organization !== undefined)
    throw invalidValue(
      'narrowed_to.organizations',
      `has ${organization}, which is not the key of an organization`,
    )
  const [unknown] = await unknownTokenTypes(tx, { id, key }, types)
  if (unknown !== undefined)
    throw invalidValue('narrowed_to.types', `has ${unknown}, which is not a token type`)
}
