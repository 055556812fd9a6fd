import { createHmac } from 'node:crypto'
import { CompactEncrypt, compactDecrypt } from 'jose'
import type { Secret } from '../shared/secret.ts'

/** A key or value for one use, from the secret in a cookie. */
export function derived(secret: Secret, use: string): Buffer {
  return createHmac('sha256', secret.reveal()).update(use).digest()
}

type Use = 'id_token' | 'provider_tokens'

/** Encrypts data of a provider with a key from the cookie of the session, which the database does not have. */
export async function sealWith(session: Secret, use: Use, text: string): Promise<string> {
  return new CompactEncrypt(Buffer.from(text))
    .setProtectedHeader({ alg: 'dir', enc: 'A256GCM' })
    .encrypt(derived(session, use))
}

export async function openWith(session: Secret, use: Use, sealed: string): Promise<string> {
  const { plaintext } = await compactDecrypt(sealed, derived(session, use))
  return Buffer.from(plaintext).toString()
}
