/**
 * A semaphore with a limit per organization and a total limit, so that one organization cannot take every slot. Returns
 * the function that frees the slot; undefined if there is none left.
 */
export function createShares(most: { ofOne: number; ofAll: number }) {
  const taken = new Map<string, number>()
  let all = 0
  return (organizationId: string): (() => void) | undefined => {
    const before = taken.get(organizationId) ?? 0
    if (before >= most.ofOne || all >= most.ofAll) return undefined
    taken.set(organizationId, before + 1)
    all += 1
    return () => {
      all -= 1
      const left = (taken.get(organizationId) ?? 1) - 1
      if (left > 0) taken.set(organizationId, left)
      else taken.delete(organizationId)
    }
  }
}
