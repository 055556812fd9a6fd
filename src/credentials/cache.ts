import { LRUCache } from 'lru-cache'
import type { Lookup } from './loader.ts'
import { slotOf } from './slot.ts'

/**
 * Remembers what was looked up, for as long as `mayRemember` says so. What is unknown is kept apart, so that a flood of
 * garbage drives out nothing else.
 */
export function createCache<Key extends string, Value extends { hash: Key }>(
  lookup: Lookup<Key, Value>,
  { size, mayRemember }: { size: number; mayRemember: () => boolean },
) {
  const known = new LRUCache<number, Value>({ max: size })
  const unknown = new LRUCache<number, Key>({ max: Math.ceil(size / 10) })
  // A change takes the key out of what was asked for before: such an answer is not kept. A list rather than a Map: of a
  // Map that is added to and removed from all the time V8 leaves tables behind, each of which keeps alive the next one and
  // what it refers to, until memory is collected as a whole.
  const underway: (Key | undefined)[][] = []
  let recalled = 0
  let offered = 0

  /**
   * Where memory is full, one in eight comes in: what is asked for again and again soon does, and what is asked for once
   * seldom drives something out, which costs as much as to look it up.
   */
  function keep(value: Value): void {
    offered += 1
    if (known.size < size || offered % 8 === 0) known.set(slotOf(value.hash), value)
  }

  /** What was found before, if it is remembered; null if that was nothing. */
  function recall(key: Key): Value | null | undefined {
    if (!mayRemember()) return undefined
    recalled += 1
    const slot = slotOf(key)
    // To move what is used to the end of the queue costs as much as to find it: what is used often is moved often.
    const value = recalled % 8 === 0 ? known.get(slot) : known.peek(slot)
    if (value?.hash === key) return value
    return unknown.peek(slot) === key ? null : undefined
  }

  return {
    recall,
    /** What there is of these keys, none of which is remembered, in their order. */
    async lookUp(keys: Key[]): Promise<(Value | undefined)[]> {
      if (!mayRemember()) return lookup(keys)
      const unchanged: (Key | undefined)[] = [...keys]
      underway.push(unchanged)
      try {
        const found = await lookup(keys)
        for (const [place, key] of unchanged.entries()) {
          if (key === undefined) continue
          const value = found[place]
          if (value) keep(value)
          else unknown.set(slotOf(key), key)
        }
        return found
      } finally {
        // Not before what was answered is kept, or a change in between would find it in neither place.
        underway.splice(underway.indexOf(unchanged), 1)
      }
    },
    forget(key: Key): void {
      const slot = slotOf(key)
      known.delete(slot)
      unknown.delete(slot)
      for (const asked of underway) {
        for (const [place, one] of asked.entries()) if (one === key) asked[place] = undefined
      }
    },
    forgetAll(): void {
      known.clear()
      unknown.clear()
      for (const asked of underway) asked.fill(undefined)
    },
  }
}
