import { sql } from 'kysely'
import type { Db } from '../../db/database.ts'
import { hasKeyOrId } from '../../db/organization-key.ts'

const ofType = ['suspendedAt', 'endpoint', 'audience', 'defaultScopes'] as const

/** An organization with the token type of that name, if both exist. */
export async function findOrganizationWithType(db: Db, organizationKeyOrId: string, type: string) {
  return (
    db
      .selectFrom('organizations')
      // The organization's own type of that name, else the platform's.
      .innerJoinLateral(
        (from) =>
          from
            .selectFrom('organizationTokenTypes')
            .select([...ofType, sql<boolean>`true`.as('ownType')])
            .whereRef('organizationId', '=', 'organizations.id')
            .where('name', '=', type)
            .unionAll(
              from
                .selectFrom('tokenTypes')
                .select([...ofType, sql<boolean>`false`.as('ownType')])
                .where('name', '=', type),
            )
            .orderBy('ownType', 'desc')
            .limit(1)
            .as('types'),
        (join) => join.onTrue(),
      )
      .leftJoin('staticSecretUses', 'staticSecretUses.organizationId', 'organizations.id')
      .where(hasKeyOrId(organizationKeyOrId))
      .select([
        'organizations.id as organizationId',
        'organizations.key as organizationKey',
        'organizations.suspendedAt as organizationSuspendedAt',
        'organizations.createdAt',
        'types.suspendedAt as typeSuspendedAt',
        'types.ownType',
        'types.endpoint',
        'types.audience',
        'types.defaultScopes as scopes',
        'staticSecretUses.lastUsedAt',
        'staticSecretUses.lastUsedIp',
      ])
      .executeTakeFirst()
  )
}

export async function hasOrganization(db: Db, organizationKeyOrId: string): Promise<boolean> {
  const found = await db
    .selectFrom('organizations')
    .select('id')
    .where(hasKeyOrId(organizationKeyOrId))
    .executeTakeFirst()
  return found !== undefined
}
