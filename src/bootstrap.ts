import { v7 as uuid } from 'uuid'
import type { Actor, Origin } from './access/caller.ts'
import { hasEvent } from './change-log/change-log.ts'
import type { Db } from './db/database.ts'
import { lockSetup, pendingMigrations, rejectUnfit } from './db/migrate.ts'
import { addOrganization } from './organizations/organizations.ts'
import { ConfigError } from './shared/config-files.ts'
import { managementType, platformId } from './shared/platform.ts'
import { generateSecret, type Secret } from './shared/secret.ts'
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
    if (!adminToken) throw noAdministrator()
    const origin = originOf({ type: 'system', id: 'start', name: 'First start' }, now)
    if (withExamples) {
      await addOrganization(tx, origin, examples.organization)
      for (const type of examples.types) await addTokenType(tx, origin, type)
    }
    await issueInTransaction(tx, platformId, { origin, input: administrator, secretFrom: adminToken })
    return true
  })
}

/**
 * Creates another platform administrator, for an operator who has lost the last one. Access to the database is the
 * permission for it.
 */
export async function addAdministrator(db: Db, now: Date): Promise<{ id: string; secret: Secret }> {
  await rejectUnfit(db)
  const pending = await pendingMigrations(db)
  if (pending.length > 0)
    throw new ConfigError(`The database lacks ${pending.join(', ')}: run counterfoil migrate first.`)
  return db.transaction().execute(async (tx) => {
    if (!(await hasEvent(tx, platformId, 'token.created'))) throw noAdministrator()
    const { token, secret } = await issueInTransaction(tx, platformId, {
      origin: originOf({ type: 'system', id: 'cli', name: 'Command line' }, now),
      input: { ...administrator, name: 'Administrator created on the command line' },
      secretFrom: generateSecret('cfm'),
      exempt: true,
    })
    return { id: token.id, secret }
  })
}

function originOf(actor: Actor, now: Date): Origin {
  return { actor, requestId: uuid(), ip: null, now }
}

function noAdministrator(): ConfigError {
  return new ConfigError(
    'The database is empty: set ADMIN_TOKEN (or ADMIN_TOKEN_FILE) to create the first administrator.',
  )
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
