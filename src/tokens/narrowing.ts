import type { Caller } from '../access/caller.ts'
import { isWithin, type Narrowing } from '../access/narrowing.ts'
import type { Db } from '../db/database.ts'
import type { Organization } from '../db/tables.ts'
import { AppError, invalidValue } from '../errors.ts'
import { unknownOrganizations } from '../organizations/reach.ts'
import { managementType, platformId } from '../platform.ts'
import { unknownTokenTypes } from '../token-types/token-types.ts'
import type { NewToken } from './issue.ts'

const permission = 'tokens:introspect'

/** Only who asks about tokens can be limited in which of them it sees. */
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
    throw invalidValue('narrowed_to.organizations', `has ${organization}, which is the key of none`)
  const [unknown] = await unknownTokenTypes(tx, types)
  if (unknown !== undefined)
    throw invalidValue('narrowed_to.types', `has ${unknown}, which is not a token type`)
}

/** Nobody can grant what they do not hold: who sees some tokens only makes no token that sees more. */
export function refuseWiderView(
  { principal }: Caller,
  { id, key }: Pick<Organization, 'id' | 'key'>,
  { scopes, narrowedTo }: NewToken,
): void {
  if (!principal.narrowedTo || !scopes?.includes(permission)) return
  const asked = id === platformId ? narrowedTo : { ...narrowedTo, organizations: [key] }
  if (isWithin(asked, principal.narrowedTo)) return
  throw new AppError(
    'insufficient_scope',
    'This sees only what its own narrowed_to says, and so can grant no more.',
    {
      scope: permission,
    },
  )
}
