import { holds } from '../access/caller.ts'
import { isGoodFrom } from '../access/credential.ts'
import type { Viewer } from '../access/narrowing.ts'
import type { CredentialVerifier } from '../credentials/credential-verifier.ts'
import type { UsageRecorder } from '../credentials/usage-recorder.ts'
import { networksOf } from '../shared/addresses.ts'
import { AppError } from '../shared/errors.ts'
import { platformId } from '../shared/platform.ts'
import { Secret } from '../shared/secret.ts'

/** Settings of /verify; without trusted networks every gateway needs a credential. */
export type VerificationOptions = {
  /** Lower-case names of header fields, besides Authorization, in which users may present a token. */
  fields: string[]
  /** Peers in these networks need no credential, and see every token. */
  trustedNetworks: string[]
}

/** What identifies a gateway: its header field, and the peer address of its connection. */
export type Gateway = { field: string | string[] | undefined; peer: string | null }

/** What a gateway may see, and the token it authenticated with, unless its address was enough. */
export type Admitted = Viewer & { tokenId?: string }

const everything: Admitted = { organizationId: platformId, narrowedTo: null }
const permission = 'tokens:introspect'

/**
 * Decides which tokens a gateway may see. It identifies itself with a management token, or by the address of its
 * connection; addresses in header fields can be forged.
 */
export function admission(credentials: CredentialVerifier, usage: UsageRecorder, trustedNetworks: string[]) {
  const isTrusted = networksOf(trustedNetworks)

  return ({ field, peer }: Gateway, now: Date): Admitted | Promise<Admitted> => {
    if (field === undefined) {
      if (peer !== null && isTrusted(peer)) return everything
      throw new AppError(
        'unauthenticated',
        'The gateway must authenticate with X-Counterfoil-Gateway, or call from a network in VERIFY_TRUSTED_NETWORKS.',
      )
    }
    const admit = (principal: Awaited<ReturnType<CredentialVerifier['verify']>>): Admitted => {
      const isHere = principal !== undefined && isGoodFrom(principal, peer)
      if (principal && !isHere) usage.reject('network')
      if (!principal || !isHere)
        throw new AppError('invalid_token', 'The credential of the gateway is not valid.')
      if (!holds(principal, permission))
        throw new AppError('insufficient_scope', `The gateway needs the permission ${permission}.`, {
          scope: permission,
        })
      usage.note(principal, now, peer)
      return principal
    }
    const found = credentials.verify(secretIn(field), now, peer)
    return found instanceof Promise ? found.then(admit) : admit(found)
  }
}

/** Node joins fields of the same name with commas and spaces, so two secrets cannot be taken for one. */
function secretIn(field: string | string[]): Secret {
  if (typeof field === 'string' && /^[\x21-\x7E]+$/.test(field)) return new Secret(field)
  throw new AppError('unauthenticated', 'X-Counterfoil-Gateway must contain exactly one management token.')
}
