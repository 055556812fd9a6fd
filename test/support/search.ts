/**
 * Finds which of the secrets a text contains. It reads the text once, however many secrets there are, by looking up
 * every four bytes of it among the last four of each secret.
 */
export function searchFor(secrets: Iterable<string>): (text: string) => string[] {
  const byEnd = new Map<number, Buffer[]>()
  for (const secret of secrets) {
    const bytes = Buffer.from(secret)
    const end = bytes.readUInt32LE(bytes.length - 4)
    byEnd.set(end, [...(byEnd.get(end) ?? []), bytes])
  }
  return (text) => {
    const bytes = Buffer.from(text)
    const found = new Set<string>()
    for (let end = 4; end <= bytes.length; end++) {
      for (const secret of byEnd.get(bytes.readUInt32LE(end - 4)) ?? []) {
        if (bytes.subarray(Math.max(0, end - secret.length), end).equals(secret)) found.add(secret.toString())
      }
    }
    return [...found]
  }
}
