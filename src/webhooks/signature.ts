import {
  createHmac,
  createPrivateKey,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
  sign,
} from 'node:crypto'
import type { JWK } from 'jose'
import type { SealedJwk, SignatureScheme, Webhook } from '../db/tables.ts'
import { seal, unsealPrivateJwk } from '../keys/sealed.ts'

// Standard Webhooks 1.0, "Signature scheme".

export type NewSecret = {
  sealed: SealedJwk
  /** The key that the receiver verifies with: the shared secret, which is shown once, or the public key. */
  secret: string | null
  publicKey: string | null
}

export type Message = { id: string; timestamp: Date; body: string }

/** A new key, sealed for the webhook with this id; the private part of an ed25519 key is never shown. */
export async function generateSecret(
  scheme: SignatureScheme,
  webhookId: string,
  masterKey: KeyObject,
): Promise<NewSecret> {
  if (scheme === 'hmac') {
    const key = randomBytes(32)
    const sealed = await seal({ kty: 'oct', k: key.toString('base64url') }, webhookId, masterKey)
    return { sealed, secret: `whsec_${key.toString('base64')}`, publicKey: null }
  }
  const jwk = generateKeyPairSync('ed25519').privateKey.export({ format: 'jwk' }) as JWK
  const publicKey = `whpk_${Buffer.from(jwk.x ?? '', 'base64url').toString('base64')}`
  return { sealed: await seal(jwk, webhookId, masterKey), secret: null, publicKey }
}

type Signing = Pick<Webhook, 'id' | 'sealedSecret' | 'sealedPreviousSecret' | 'previousUntil'>

/**
 * The value of `webhook-signature`, by the current secret and, during its overlap, the previous one. Undefined if none
 * of the master keys opens them.
 */
export async function signatureOf(
  message: Message,
  { id, sealedSecret, sealedPreviousSecret, previousUntil }: Signing,
  masterKeys: readonly KeyObject[],
): Promise<string | undefined> {
  const overlaps = previousUntil !== null && previousUntil > message.timestamp
  const sealed = [sealedSecret, ...(sealedPreviousSecret && overlaps ? [sealedPreviousSecret] : [])]
  const keys = await Promise.all(sealed.map((one) => unsealPrivateJwk(one, id, masterKeys)))
  if (keys.some((key) => key === undefined)) return undefined
  return keys.map((key) => signWith(key as JWK, message)).join(' ')
}

export function signWith(key: JWK, message: Message): string {
  const content = Buffer.from(`${message.id}.${secondsOf(message.timestamp)}.${message.body}`)
  if (key.kty === 'oct') {
    const secret = Buffer.from(key.k ?? '', 'base64url')
    return `v1,${createHmac('sha256', secret).update(content).digest('base64')}`
  }
  const privateKey = createPrivateKey({ key: { ...key }, format: 'jwk' })
  return `v1a,${sign(null, content, privateKey).toString('base64')}`
}

/** The value of `webhook-timestamp`. */
export function secondsOf(instant: Date): string {
  return String(Math.floor(instant.getTime() / 1000))
}
