import type { Secret } from '../shared/secret.ts'

/**
 * Knows what imported secrets begin with: these do not have our checksum. The prefixes are cached while `mayRemember`
 * permits it, like credentials; whenever they are not known for certain, any secret may have been imported.
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
