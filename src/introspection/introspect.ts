import { type Caller, reaches, requirePermission } from '../access/caller.ts'
import type { Secret } from '../tokens/secret.ts'
import type { Credential } from './credential.ts'
import type { Credentials } from './credentials.ts'
import type { Usage } from './usage.ts'

/**
 * The decision of RFC 7662 §2.2: the token if it is good and the calling resource server is meant to see it.
 * Unknown, expired, revoked, suspended or somebody else's is all the same `undefined`. A use of what is good
 * is noted. Not a promise where the answer is in memory.
 */
export function introspect(
  credentials: Credentials,
  usage: Usage,
  caller: Caller,
  secret: Secret,
): Credential | undefined | Promise<Credential | undefined> {
  requirePermission(caller, 'tokens:introspect')
  const decide = (credential: Credential | undefined) => {
    if (!credential || !reaches(caller.principal, credential.organizationId)) return undefined
    usage.note(credential.hash, caller.now, null)
    return credential
  }
  const found = credentials.verify(secret, caller.now)
  return found instanceof Promise ? found.then(decide) : decide(found)
}
