const hashBits = 22
const hashOf = (word: number) => Math.imul(word, 0x9e3779b1) >>> (32 - hashBits)

/**
 * Finds which of the secrets a text contains. It reads the text once, however many secrets there are, four bytes at a
 * time: wherever a secret is, one of its last four positions holds such a word.
 */
export function searchFor(secrets: Iterable<string>): (text: Buffer) => string[] {
  const byWord = new Map<number, { bytes: Buffer; offset: number }[]>()
  const hashes = new Uint8Array(1 << hashBits)
  for (const secret of secrets) {
    const bytes = Buffer.from(secret)
    if (bytes.length < 7) throw new Error('a secret of fewer than seven bytes cannot be searched for')
    for (let offset = bytes.length - 7; offset <= bytes.length - 4; offset++) {
      const [word = 0] = new Uint32Array(Uint8Array.from(bytes.subarray(offset, offset + 4)).buffer)
      byWord.set(word, [...(byWord.get(word) ?? []), { bytes, offset }])
      hashes[hashOf(word)] = 1
    }
  }
  return (text) => {
    // An array of words has to begin at a multiple of four.
    const bytes = text.byteOffset % 4 === 0 ? text : Buffer.from(Uint8Array.from(text).buffer)
    const words = new Uint32Array(bytes.buffer, bytes.byteOffset, Math.floor(bytes.length / 4))
    const found = new Set<string>()
    for (let index = 0; index < words.length; index++) {
      const word = words[index] as number
      if (hashes[hashOf(word)] === 0) continue
      for (const secret of byWord.get(word) ?? []) {
        const start = index * 4 - secret.offset
        if (start >= 0 && bytes.subarray(start, start + secret.bytes.length).equals(secret.bytes))
          found.add(secret.bytes.toString())
      }
    }
    return [...found]
  }
}
