import { createHmac } from 'node:crypto'
import { CompactEncrypt, compactDecrypt } from 'jose'
import type { Secret } from '../shared/secret.ts'

/** A key or value for one use, from the secret in a cookie. */
export function derived(secret: Secret, use: string): Buffer {
  return createHmac('sha256', secret.reveal()).update(use).digest()
}

/**
 * The issuer asks for the ID token when its user signs out. It is encrypted so that only the cookie of the session opens
 * it: the database alone does not.
 */
export async function sealIdToken(idToken: string, session: Secret): Promise<string> {
  return new CompactEncrypt(Buffer.from(idToken))
    .setProtectedHeader({ alg: 'dir', enc: 'A256GCM' })
    .encrypt(derived(session, 'id_token'))
}

export async function openIdToken(sealed: string, session: Secret): Promise<string> {
  const { plaintext } = await compactDecrypt(sealed, derived(session, 'id_token'))
  return Buffer.from(plaintext).toString()
}
