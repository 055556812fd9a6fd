import { createHmac, timingSafeEqual } from 'node:crypto'

const signatureLength = 16

/**
 * A position in a list as text that is nobody's business but ours: signed, so that only positions which we gave out
 * come back, and together with the list it is one of, so that it fits no other.
 */
export function sealCursor(key: Buffer, list: string, position: unknown): string {
  const payload = Buffer.from(JSON.stringify(position))
  return Buffer.concat([sign(key, list, payload), payload]).toString('base64url')
}

/** The position, or undefined if the cursor was not sealed with this key for this list. */
export function openCursor(key: Buffer, list: string, cursor: string): unknown {
  const bytes = Buffer.from(cursor, 'base64url')
  // Base64 is read leniently: only the one spelling that was given out is a cursor.
  if (bytes.length < signatureLength || bytes.toString('base64url') !== cursor) return undefined
  const payload = bytes.subarray(signatureLength)
  const genuine = timingSafeEqual(bytes.subarray(0, signatureLength), sign(key, list, payload))
  return genuine ? JSON.parse(payload.toString()) : undefined
}

function sign(key: Buffer, list: string, payload: Buffer): Buffer {
  // The length keeps the two apart: no end of a list's name can pass for the start of a position.
  const head = `${Buffer.byteLength(list)}:${list}`
  return createHmac('sha256', key).update(head).update(payload).digest().subarray(0, signatureLength)
}
