import { LRUCache } from 'lru-cache'
import type { Lookup } from './loader.ts'

/**
 * Caches lookups while `mayRemember` permits it. Unknown keys have a cache of their own, so that a flood of them evicts
 * nothing else.
 */
export function createCache<Key extends string, Value extends { hash: Key }>(
  lookup: Lookup<Key, Value>,
  { size, mayRemember }: { size: number; mayRemember: () => boolean },
) {
  const known = new LRUCache<Key, Value>({ max: size })
  const unknown = new LRUCache<Key, true>({ max: Math.ceil(size / 10) })
  // A change removes its key from the lookups in flight, so that their results are not cached. A list rather than a
  // Map: a busy Map leaves old tables behind in V8, and each keeps the next one and its contents alive until a full
  // collection.
  const underway: (Key | undefined)[][] = []
  let offered = 0

  /**
   * A full cache admits one value in eight: frequent keys soon get in, and rare ones seldom cause an eviction, which
   * costs as much as a lookup.
   */
  function keep(value: Value): void {
    offered += 1
    if (known.size < size || offered % 8 === 0) known.set(value.hash, value)
  }

  /** The cached value; null if the key is known not to exist, undefined if it is not cached. */
  function recall(key: Key): Value | null | undefined {
    if (!mayRemember()) return undefined
    return known.get(key) ?? (unknown.has(key) ? null : undefined)
  }

  return {
    recall,
    /** The values of these keys, in their order. None of the keys may be cached. */
    async lookUp(keys: Key[]): Promise<(Value | undefined)[]> {
      if (!mayRemember()) return lookup(keys)
      const unchanged: (Key | undefined)[] = [...keys]
      underway.push(unchanged)
      try {
        const found = await lookup(keys)
        for (const [index, key] of unchanged.entries()) {
          if (key === undefined) continue
          const value = found[index]
          if (value) keep(value)
          else unknown.set(key, true)
        }
        return found
      } finally {
        // Only here: a change in the meantime must find the key either in flight or in the cache.
        underway.splice(underway.indexOf(unchanged), 1)
      }
    },
    forget(key: Key): void {
      known.delete(key)
      unknown.delete(key)
      for (const asked of underway) {
        for (const [index, one] of asked.entries()) if (one === key) asked[index] = undefined
      }
    },
    forgetAll(): void {
      known.clear()
      unknown.clear()
      for (const asked of underway) asked.fill(undefined)
    },
  }
}
