import { v7 as uuid } from 'uuid'
import type { Origin } from './access/caller.ts'
import { hasEvent } from './change-log/change-log.ts'
import type { Db } from './db/database.ts'
import { lockSetup } from './db/migrate.ts'
import { addOrganization } from './organizations/organizations.ts'
import { managementType, platformId } from './shared/platform.ts'
import type { Secret } from './shared/secret.ts'
import { addTokenType, type NewTokenType } from './token-types/token-types.ts'
import { issueInTransaction } from './tokens/create/issue.ts'

/** Lets newcomers create a token at once. */
const examples = {
  organization: { key: 'default', name: 'Default' },
  types: [
    { name: 'api', format: 'opaque', prefix: 'api', description: 'For programs that call an API' },
    {
      name: 'mcp',
      format: 'opaque',
      prefix: 'mcp',
      description: 'For AI clients that speak the Model Context Protocol',
    },
    {
      name: 'scim',
      format: 'opaque',
      prefix: 'scim',
      description: 'For identity providers that provision users (RFC 7644)',
    },
  ] satisfies NewTokenType[],
}

/**
 * Makes `adminToken` the platform administrator of an empty database; false if the database already had one. The change
 * log decides, so that a restart does not bring back an administrator that was revoked or deleted.
 */
export async function bootstrap(
  db: Db,
  now: Date,
  adminToken: Secret | undefined,
  { withExamples }: { withExamples: boolean },
): Promise<boolean> {
  return db.transaction().execute(async (tx) => {
    await lockSetup(tx)
    if (await hasEvent(tx, platformId, 'token.created')) return false
    if (!adminToken) throw new NoAdministratorError()
    const origin: Origin = {
      actor: { type: 'system', id: 'start', name: 'First start' },
      requestId: uuid(),
      ip: null,
      now,
    }
    if (withExamples) {
      await addOrganization(tx, origin, examples.organization)
      for (const type of examples.types) await addTokenType(tx, origin, type)
    }
    await issueInTransaction(tx, platformId, { origin, input: administrator, secretFrom: adminToken })
    return true
  })
}

export class NoAdministratorError extends Error {
  override message =
    'The database is empty: set ADMIN_TOKEN (or ADMIN_TOKEN_FILE) to create the first administrator.'
}

const administrator = {
  name: 'Bootstrap administrator',
  type: managementType,
  comment: null,
  owner: null,
  scopes: ['platform:admin'],
  audience: undefined,
  metadata: {},
  allowedCidrs: null,
  narrowedTo: null,
  notBefore: null,
  expiry: undefined,
}
