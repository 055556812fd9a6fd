import type { Secret } from '../shared/secret.ts'

/**
 * Caches the prefixes of imported secrets, which do not have our checksum. They are cached while `mayRemember` permits
 * it, like credentials. While they are unknown, any secret may be an imported one.
 */
export function createImportedPrefixes(load: () => Promise<string[]>, mayRemember: () => boolean) {
  let known: string[] | undefined
  let loading = false
  /** A change makes the result of a load that began before it stale. */
  let changes = 0

  async function refresh(): Promise<void> {
    loading = true
    const before = changes
    // The lookup of the secret fails for the same reason, and reports it.
    const found = await load().catch(() => undefined)
    if (changes === before && mayRemember()) known = found
    loading = false
  }

  return {
    mayInclude(secret: Secret): boolean {
      if (!mayRemember()) return true
      if (known) return known.some((prefix) => secret.reveal().startsWith(prefix))
      if (!loading) void refresh()
      return true
    },
    forget(): void {
      known = undefined
      changes += 1
    },
  }
}
