import { promisify } from 'node:util'
import { deflate } from 'node:zlib'

const compress = promisify(deflate)

/**
 * The `lst` of a list with one bit per token, in which these indexes are set: counted from the least significant bit of
 * the first byte, and compressed (draft-ietf-oauth-status-list §4.1 and §4.2).
 */
export async function encodeBits(size: number, indexes: Iterable<number>): Promise<string> {
  const bytes = Buffer.alloc(size / 8)
  for (const index of indexes) bytes[index >> 3] = (bytes[index >> 3] ?? 0) | (1 << (index & 7))
  return (await compress(bytes, { level: 9 })).toString('base64url')
}
