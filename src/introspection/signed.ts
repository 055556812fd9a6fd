import type { Caller } from '../access/caller.ts'
import type { Db } from '../db/database.ts'
import { activeSigner, type Signing, signJwt } from '../keys/signing.ts'

export const plainType = 'application/json'
export const signedType = 'application/token-introspection+jwt'

/**
 * An introspection response as a JWT for the calling resource server only (RFC 9701 §5). It has no `sub` or `exp` and a
 * `typ` of its own, so that it cannot be mistaken for an access token.
 */
export async function signIntrospection(
  db: Db,
  { signing, issuer }: { signing: Signing; issuer: string },
  { actor, now }: Caller,
  response: object,
): Promise<string> {
  const signer = await activeSigner(db, signing, now)
  return signJwt(signer, 'token-introspection+jwt', {
    iss: issuer,
    aud: actor.id,
    iat: Math.floor(now.getTime() / 1000),
    token_introspection: response,
  })
}
