import { createCipheriv, createDecipheriv, createHmac, hkdfSync, randomBytes } from 'node:crypto'
import type { Secret } from '../shared/secret.ts'

const nonceLength = 12
const tagLength = 16

/**
 * Derives three independent values from a client's Idempotency-Key and a scope: the hash that finds the answer, the key
 * that opens it, and the key of the fingerprint. None of them reveals another.
 */
export function deriveSeal(key: Secret, scope: readonly string[]) {
  const salt = JSON.stringify(scope)
  const derive = (use: string) =>
    Buffer.from(hkdfSync('sha256', key.reveal(), salt, `counterfoil idempotency ${use}`, 32))
  const encryptionKey = derive('encryption')
  const additional = (fingerprint: Buffer) => Buffer.concat([Buffer.from(salt), fingerprint])
  return {
    hash: derive('lookup'),

    /** Tells requests apart without revealing anything about them. */
    fingerprint(request: string): Buffer {
      return createHmac('sha256', derive('fingerprint')).update(request).digest()
    },

    close(answer: string, fingerprint: Buffer): Buffer {
      const nonce = randomBytes(nonceLength)
      const cipher = createCipheriv('aes-256-gcm', encryptionKey, nonce).setAAD(additional(fingerprint))
      return Buffer.concat([nonce, cipher.update(answer, 'utf8'), cipher.final(), cipher.getAuthTag()])
    },

    /** Throws if the answer was not sealed with the same key, in the same scope and for the same request. */
    open(sealed: Buffer, fingerprint: Buffer): string {
      const nonce = sealed.subarray(0, nonceLength)
      const text = sealed.subarray(nonceLength, -tagLength)
      const decipher = createDecipheriv('aes-256-gcm', encryptionKey, nonce, { authTagLength: tagLength })
      decipher.setAAD(additional(fingerprint)).setAuthTag(sealed.subarray(-tagLength))
      return Buffer.concat([decipher.update(text), decipher.final()]).toString()
    },
  }
}
