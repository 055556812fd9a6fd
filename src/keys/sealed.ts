import type { KeyObject } from 'node:crypto'
import {
  base64url,
  type CryptoKey,
  calculateJwkThumbprint,
  exportJWK,
  FlattenedEncrypt,
  flattenedDecrypt,
  generateKeyPair,
  importJWK,
  type JWK,
} from 'jose'
import type { PublicJwk, SealedJwk, SigningAlg } from '../db/tables.ts'

export const signingAlgs = ['EdDSA', 'ES256', 'RS256'] as const satisfies SigningAlg[]

export type NewKey = { kid: string; alg: SigningAlg; publicJwk: PublicJwk; sealedPrivateJwk: SealedJwk }

/** Generates a key pair, named by its thumbprint (RFC 7638); the private part leaves this function only sealed. */
export async function generateSigningKey(alg: SigningAlg, masterKey: KeyObject): Promise<NewKey> {
  const pair = await generateKeyPair(alg, { extractable: true, modulusLength: 3072 })
  const jwk = await exportJWK(pair.publicKey)
  const kid = await calculateJwkThumbprint(jwk)
  const sealedPrivateJwk = await seal(await exportJWK(pair.privateKey), kid, masterKey)
  return { kid, alg, publicJwk: { ...jwk, kid, alg, use: 'sig' }, sealedPrivateJwk }
}

/** The private key in a form that signs and cannot be exported; undefined if none of the master keys opens it. */
export async function openSigningKey(
  sealed: SealedJwk,
  { kid, alg }: { kid: string; alg: SigningAlg },
  masterKeys: readonly KeyObject[],
): Promise<CryptoKey | undefined> {
  const jwk = await unsealPrivateJwk(sealed, kid, masterKeys)
  return jwk && ((await importJWK({ ...jwk, ext: false }, alg)) as CryptoKey)
}

/** The same sealed under `masterKey`; undefined if none of `masterKeys` opens it. */
export async function reseal(
  sealed: SealedJwk,
  kid: string,
  masterKeys: readonly KeyObject[],
  masterKey: KeyObject,
): Promise<SealedJwk | undefined> {
  const jwk = await unsealPrivateJwk(sealed, kid, masterKeys)
  return jwk && seal(jwk, kid, masterKey)
}

/** The kid is authenticated too: a sealed key that was moved to another row does not open. */
export async function seal(jwk: JWK, kid: string, masterKey: KeyObject): Promise<SealedJwk> {
  return new FlattenedEncrypt(Buffer.from(JSON.stringify(jwk)))
    .setProtectedHeader({ alg: 'A256GCMKW', enc: 'A256GCM', cty: 'jwk+json' })
    .setAdditionalAuthenticatedData(Buffer.from(kid))
    .encrypt(masterKey)
}

/** A secret that is given to another service, such as a password. */
export async function sealText(text: string, id: string, masterKey: KeyObject): Promise<SealedJwk> {
  return seal({ kty: 'oct', k: base64url.encode(text) }, id, masterKey)
}

/** Undefined if none of the master keys opens it. */
export async function unsealText(
  sealed: SealedJwk,
  id: string,
  masterKeys: readonly KeyObject[],
): Promise<string | undefined> {
  const jwk = await unsealPrivateJwk(sealed, id, masterKeys)
  return jwk?.k === undefined ? undefined : Buffer.from(jwk.k, 'base64url').toString()
}

/** Undefined if none of the master keys opens it. */
export async function unsealPrivateJwk(
  sealed: SealedJwk,
  kid: string,
  masterKeys: readonly KeyObject[],
): Promise<JWK | undefined> {
  for (const masterKey of masterKeys) {
    try {
      const algorithms = { keyManagementAlgorithms: ['A256GCMKW'], contentEncryptionAlgorithms: ['A256GCM'] }
      const bound = { ...sealed, aad: base64url.encode(kid) }
      const { plaintext } = await flattenedDecrypt(bound, masterKey, algorithms)
      return JSON.parse(Buffer.from(plaintext).toString()) as JWK
    } catch {}
  }
  return undefined
}
