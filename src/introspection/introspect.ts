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
  const found = credentials.verify(secret, caller.now)
  const { principal, now } = caller
  if (found instanceof Promise) return found.then((credential) => decide(usage, principal, credential, now))
  return decide(usage, principal, found, now)
}

export function decide(
  usage: Usage,
  principal: Credential,
  credential: Credential | undefined,
  now: Date,
): Credential | undefined {
  if (!credential || !reaches(principal, credential.organizationId)) return undefined
  usage.note(credential, now, null)
  return credential
}
