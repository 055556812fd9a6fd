import { type Caller, requirePermission } from '../access/caller.ts'
import { sees, type Viewer } from '../access/narrowing.ts'
import { type Credential, isGoodFrom } from '../credentials/credential.ts'
import type { CredentialVerifier } from '../credentials/credential-verifier.ts'
import type { UsageRecorder } from '../credentials/usage-recorder.ts'
import type { Secret } from '../tokens/secret.ts'

/** A secret that somebody presented, when, and from which address, where that is known. */
export type Presentation = { secret: Secret; now: Date; ip: string | null }

type Answer = Credential | undefined

/**
 * The decision of RFC 7662 §2.2: the token if it is good, may come from there, and the calling resource server is
 * meant to see it. Unknown, expired, revoked, suspended or somebody else's is all the same `undefined`. A use of what
 * is good is noted. Not a promise where the answer is in memory.
 */
export function introspect(
  credentials: CredentialVerifier,
  usage: UsageRecorder,
  caller: Caller,
  secret: Secret,
  ip: string | null,
): Answer | Promise<Answer> {
  requirePermission(caller, 'tokens:introspect')
  return lookUp(credentials, usage, caller.principal, { secret, now: caller.now, ip })
}

/** The same for whoever is known by other means to be entitled to ask. */
export function lookUp(
  credentials: CredentialVerifier,
  usage: UsageRecorder,
  viewer: Viewer,
  { secret, now, ip }: Presentation,
): Answer | Promise<Answer> {
  const found = credentials.verify(secret, now)
  if (found instanceof Promise) return found.then((credential) => decide(usage, viewer, credential, now, ip))
  return decide(usage, viewer, found, now, ip)
}

/** Whether who asks gets to see what was found, and the user is where it is good; a use of it is noted then. */
export function decide(
  usage: UsageRecorder,
  viewer: Viewer,
  credential: Answer | null,
  now: Date,
  ip: string | null,
): Answer {
  if (!credential || !sees(viewer, credential) || !isGoodFrom(credential, ip)) return undefined
  usage.note(credential, now, ip)
  return credential
}
