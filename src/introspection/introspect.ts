import { type Caller, requirePermission } from '../access/caller.ts'
import { type Credential, isGoodFrom } from '../access/credential.ts'
import { sees, type Viewer } from '../access/narrowing.ts'
import type { CredentialVerifier } from '../credentials/credential-verifier.ts'
import type { UsageRecorder } from '../credentials/usage-recorder.ts'
import type { Secret } from '../shared/secret.ts'

/** A presented secret, and when and from which address (if known) it was presented. */
export type Presentation = { secret: Secret; now: Date; ip: string | null }

type Answer = Credential | undefined

/**
 * The decision of RFC 7662 §2.2: the token, if it is good, may be used from that address, and is visible to the calling
 * resource server. Unknown, expired, revoked, suspended and other organizations' tokens are all `undefined`. Records
 * the use of a good token. Returns no promise if the token is cached.
 */
export function introspect(
  credentials: CredentialVerifier,
  usage: UsageRecorder,
  caller: Caller,
  { secret, ip }: Omit<Presentation, 'now'>,
): Answer | Promise<Answer> {
  requirePermission(caller, 'tokens:introspect')
  return lookUp(credentials, usage, caller.principal, { secret, now: caller.now, ip })
}

/** The same for callers whose permission was checked in another way. */
export function lookUp(
  credentials: CredentialVerifier,
  usage: UsageRecorder,
  viewer: Viewer,
  { secret, now, ip }: Presentation,
): Answer | Promise<Answer> {
  const found = credentials.verify(secret, now, ip)
  if (found instanceof Promise) return found.then((credential) => decide(usage, viewer, credential, now, ip))
  return decide(usage, viewer, found, now, ip)
}

/** Whether the viewer may see the found token and the token may be used from this address; if so, records its use. */
export function decide(
  usage: UsageRecorder,
  viewer: Viewer,
  credential: Answer | null,
  now: Date,
  ip: string | null,
): Answer {
  if (!credential) return undefined
  if (!sees(viewer, credential)) return usage.reject('not_visible')
  if (!isGoodFrom(credential, ip)) return usage.reject('network')
  usage.note(credential, now, ip)
  return credential
}
