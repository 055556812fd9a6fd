import type { KeyObject, webcrypto } from 'node:crypto'
import { calculateJwkThumbprint } from 'jose'
import type { ClientJwk } from '../db/tables.ts'
import { fitPublicKey } from '../outbound/public-key.ts'
import { invalidValue } from '../shared/errors.ts'

/**
 * A key as the client sent it, with members that we ignore and possibly private members that it should not have sent.
 */
export type GivenJwk = webcrypto.JsonWebKey & { kid?: string; alg?: string }

/** The algorithms that a client may sign with: only asymmetric and up-to-date ones (RFC 8725 §3.2). */
export const assertionAlgs = ['EdDSA', 'Ed25519', 'ES256', 'RS256', 'PS256']

const privateMembers = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k']

/** Keeps the public members, or throws a 422 that names the key without repeating any of it. */
export function publicKeysOf(given: GivenJwk[]): ClientJwk[] {
  const keys = given.map(publicKeyOf)
  const kids = keys.flatMap(({ kid }) => kid ?? [])
  if (new Set(kids).size < kids.length) throw invalidValue('jwks.keys', 'has two keys with the same kid')
  return keys
}

/** Identifies the keys of a set in the change log. */
export async function thumbprintsOf(keys: ClientJwk[]): Promise<string[]> {
  return Promise.all(keys.map((key) => calculateJwkThumbprint(key)))
}

function publicKeyOf(jwk: GivenJwk, index: number): ClientJwk {
  const flaw = (detail: string) => invalidValue(`jwks.keys.${index}`, detail)
  if (privateMembers.some((member) => member in jwk))
    throw flaw('has a private part, which must stay with the client: create a new key')
  const key = fitPublicKey(jwk)
  const algs = key && algsOf(key)
  if (!algs)
    throw flaw(
      'is not a public key of Ed25519 (and not of small order), P-256, or RSA with 2048 to 8192 bits and an odd exponent ' +
        'from 65537 on',
    )
  if (jwk.alg !== undefined && !algs.includes(jwk.alg)) throw flaw(`must have the alg ${algs.join(' or ')}`)
  const { kid, alg } = jwk
  // Exported again, so that only the members of the key itself remain.
  return {
    ...(key.export({ format: 'jwk' }) as ClientJwk),
    ...(kid !== undefined && { kid }),
    ...(alg !== undefined && { alg }),
    use: 'sig',
  }
}

function algsOf({ asymmetricKeyType, asymmetricKeyDetails }: KeyObject): string[] | undefined {
  if (asymmetricKeyType === 'ed25519') return ['EdDSA', 'Ed25519']
  if (asymmetricKeyType === 'ec' && asymmetricKeyDetails?.namedCurve === 'prime256v1') return ['ES256']
  if (asymmetricKeyType === 'rsa') return ['RS256', 'PS256']
  return undefined
}
