import { createHmac, timingSafeEqual } from 'node:crypto'

const signatureLength = 16

/**
 * An opaque, signed position in a list. Only cursors issued here are accepted, and only for the list they were issued
 * for.
 */
export function sealCursor(key: Buffer, list: string, position: unknown): string {
  const payload = Buffer.from(JSON.stringify(position))
  return Buffer.concat([sign(key, list, payload), payload]).toString('base64url')
}

/** The position, or undefined if the cursor was not sealed with this key for this list. */
export function openCursor(key: Buffer, list: string, cursor: string): unknown {
  const bytes = Buffer.from(cursor, 'base64url')
  // Base64 decoding is lenient: accept only the exact spelling that was issued.
  if (bytes.length < signatureLength || bytes.toString('base64url') !== cursor) return undefined
  const payload = bytes.subarray(signatureLength)
  const genuine = timingSafeEqual(bytes.subarray(0, signatureLength), sign(key, list, payload))
  return genuine ? JSON.parse(payload.toString()) : undefined
}

function sign(key: Buffer, list: string, payload: Buffer): Buffer {
  // The length separates the two, so that the end of a list's name cannot be taken for the start of a position.
  const head = `${Buffer.byteLength(list)}:${list}`
  return createHmac('sha256', key).update(head).update(payload).digest().subarray(0, signatureLength)
}
