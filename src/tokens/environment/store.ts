import { validate as isUuid } from 'uuid'
import type { Db } from '../../db/database.ts'

/** An organization with the token type of that name, if there are both. */
export async function findOrganizationWithType(db: Db, organizationKeyOrId: string, type: string) {
  return db
    .selectFrom('organizations')
    .innerJoin('tokenTypes', (join) => join.on('tokenTypes.name', '=', type))
    .where(isUuid(organizationKeyOrId) ? 'organizations.id' : 'organizations.key', '=', organizationKeyOrId)
    .select([
      'organizations.id as organizationId',
      'organizations.key as organizationKey',
      'organizations.suspendedAt as organizationSuspendedAt',
      'organizations.createdAt',
      'tokenTypes.suspendedAt as typeSuspendedAt',
      'tokenTypes.endpoint',
      'tokenTypes.audience',
      'tokenTypes.defaultScopes as scopes',
    ])
    .executeTakeFirst()
}
