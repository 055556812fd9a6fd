import { type Caller, reaches, requirePermission } from '../access/caller.ts'
import type { Db } from '../db/database.ts'
import type { EnvironmentSecret } from '../tokens/environment/environment.ts'
import type { Secret } from '../tokens/secret.ts'
import { type Credential, verifySecret } from './credential.ts'

/**
 * The decision of RFC 7662 §2.2: the token if it is good and the calling resource server is meant to see it.
 * Unknown, expired, revoked, suspended or somebody else's is all the same `undefined`.
 */
export async function introspect(
  db: Db,
  caller: Caller,
  secret: Secret,
  environment: EnvironmentSecret | undefined,
): Promise<Credential | undefined> {
  requirePermission(caller, 'tokens:introspect')
  const credential = await verifySecret(db, secret, caller.now, environment)
  return credential && reaches(caller.principal, credential.organizationId) ? credential : undefined
}
