import { randomUUID } from 'node:crypto'
import { exportJWK, generateKeyPair, SignJWT } from 'jose'
import { recordSecret } from './records.ts'
import { type Answer, issuer, type World } from './world.ts'

export const assertionType = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer'

/** Undefined leaves a member out. */
type Members = Record<string, unknown>

/** A resource server that authenticates with a key of its own. */
export type Client = {
  id: string
  secret: string
  keysUrl: string
  privateKey: CryptoKey
  publicJwk: Record<string, unknown>
  /** An assertion that is valid once, unless the parameters break it. */
  sign(claims?: Members, header?: Members, key?: CryptoKey): Promise<string>
  /** Introspects the token with these additional parameters. */
  introspect(token: string, form: Record<string, string>): Promise<Answer>
}

export async function makeClient(
  world: World,
  { alg = 'ES256', kid = 'one', scopes = ['tokens:introspect', 'tokens:write'] } = {},
): Promise<Client> {
  const { id, secret } = await world.issue({ name: `Server ${alg}`, type: 'management', scopes })
  const pair = await generateKeyPair(alg, { extractable: true })
  const publicJwk = { ...(await exportJWK(pair.publicKey)), kid }
  const keysUrl = `/v1/organizations/default/tokens/${id}/client-keys`
  const answer = await world.ask('PUT', keysUrl, { body: { jwks: { keys: [publicJwk] } } })
  if (answer.status !== 200) throw new Error(answer.text)
  return {
    id,
    secret,
    keysUrl,
    publicJwk,
    privateKey: pair.privateKey,
    async sign(claims = {}, header = {}, key = pair.privateKey) {
      const now = Math.floor(world.clock.now.getTime() / 1000)
      const payload = { iss: id, sub: id, aud: issuer, iat: now, exp: now + 60, jti: randomUUID(), ...claims }
      const jwt = new SignJWT(payload).setProtectedHeader({ alg, kid, ...header })
      const assertion = await jwt.sign(key, { crit: { x: true } })
      recordSecret(assertion)
      return assertion
    },
    introspect: (token, form) => world.ask('POST', '/introspect', { token: '', form: { token, ...form } }),
  }
}

export function withAssertion(assertion: string): Record<string, string> {
  return { client_assertion_type: assertionType, client_assertion: assertion }
}
