import { type Caller, reaches, requirePermission } from '../access/caller.ts'
import type { Secret } from '../tokens/secret.ts'
import type { Credential } from './credential.ts'
import type { Credentials } from './credentials.ts'

/**
 * The decision of RFC 7662 §2.2: the token if it is good and the calling resource server is meant to see it.
 * Unknown, expired, revoked, suspended or somebody else's is all the same `undefined`. Not a promise where the answer
 * is in memory.
 */
export function introspect(
  credentials: Credentials,
  caller: Caller,
  secret: Secret,
): Credential | undefined | Promise<Credential | undefined> {
  requirePermission(caller, 'tokens:introspect')
  const found = credentials.verify(secret, caller.now)
  return found instanceof Promise
    ? found.then((credential) => ifReached(caller, credential))
    : ifReached(caller, found)
}

function ifReached({ principal }: Caller, credential: Credential | undefined): Credential | undefined {
  return credential && reaches(principal, credential.organizationId) ? credential : undefined
}
