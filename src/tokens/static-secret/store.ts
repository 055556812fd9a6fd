import { validate as isUuid } from 'uuid'
import type { Db } from '../../db/database.ts'

/** An organization with the token type of that name, if both exist. */
export async function findOrganizationWithType(db: Db, organizationKeyOrId: string, type: string) {
  return db
    .selectFrom('organizations')
    .innerJoin('tokenTypes', (join) => join.on('tokenTypes.name', '=', type))
    .leftJoin('staticSecretUses', 'staticSecretUses.organizationId', 'organizations.id')
    .where(keyOrId(organizationKeyOrId), '=', organizationKeyOrId)
    .select([
      'organizations.id as organizationId',
      'organizations.key as organizationKey',
      'organizations.suspendedAt as organizationSuspendedAt',
      'organizations.createdAt',
      'tokenTypes.suspendedAt as typeSuspendedAt',
      'tokenTypes.endpoint',
      'tokenTypes.audience',
      'tokenTypes.defaultScopes as scopes',
      'staticSecretUses.lastUsedAt',
      'staticSecretUses.lastUsedIp',
    ])
    .executeTakeFirst()
}

export async function hasOrganization(db: Db, organizationKeyOrId: string): Promise<boolean> {
  const found = await db
    .selectFrom('organizations')
    .select('id')
    .where(keyOrId(organizationKeyOrId), '=', organizationKeyOrId)
    .executeTakeFirst()
  return found !== undefined
}

function keyOrId(text: string) {
  return isUuid(text) ? 'organizations.id' : 'organizations.key'
}
