import { LRUCache } from 'lru-cache'

type Lookup<Key, Value> = (keys: Iterable<Key>) => Promise<Map<Key, Value>>

/**
 * Remembers what was looked up, for as long as `mayRemember` says so. What is unknown is kept apart, so that a flood of
 * garbage drives out nothing else.
 */
export function remember<Key extends string, Value extends { hash: Key }>(
  lookup: Lookup<Key, Value>,
  { size, mayRemember }: { size: number; mayRemember: () => boolean },
) {
  const known = new LRUCache<number, Value>({ max: size })
  const unknown = new LRUCache<Key, true>({ max: Math.ceil(size / 10) })
  // A change takes the key out of here: an answer that was asked for before is then neither kept nor given to others.
  const underway = new Map<Key, Promise<Map<Key, Value>>>()

  function ask(key: Key): Promise<Map<Key, Value>> {
    const answer = lookup([key])
    underway.set(key, answer)
    return answer
  }

  let recalled = 0

  /** What was found before, if it is remembered. */
  function recall(key: Key): Value | undefined {
    if (!mayRemember()) return undefined
    recalled += 1
    const slot = slotOf(key)
    // To move what is used to the end of the queue costs as much as to find it: what is used often is moved often.
    const value = recalled % 8 === 0 ? known.get(slot) : known.peek(slot)
    return value?.hash === key ? value : undefined
  }

  return {
    recall,
    /** What there is of these keys. */
    async find(keys: Key[]): Promise<Map<Key, Value>> {
      if (!mayRemember()) return lookup(keys)
      const found = new Map<Key, Value>()
      const asked = new Map<Key, Promise<Map<Key, Value>>>()
      for (const key of keys) {
        const value = recall(key)
        if (value) found.set(key, value)
        else if (!unknown.has(key)) asked.set(key, asked.get(key) ?? underway.get(key) ?? ask(key))
      }
      try {
        const answers = await allOf(asked.values())
        for (const [key, answer] of asked) {
          const value = answers.get(answer)?.get(key)
          if (value) found.set(key, value)
          if (underway.get(key) !== answer) continue
          if (value) known.set(slotOf(key), value)
          else unknown.set(key, true)
        }
      } finally {
        for (const [key, answer] of asked) if (underway.get(key) === answer) underway.delete(key)
      }
      return found
    },
    forget(key: Key): void {
      known.delete(slotOf(key))
      unknown.delete(key)
      underway.delete(key)
    },
    forgetAll(): void {
      known.clear()
      unknown.clear()
      underway.clear()
    },
  }
}

/** What these promises resolve to, most of which are the same one. */
async function allOf<Value>(promises: Iterable<Promise<Value>>): Promise<Map<Promise<Value>, Value>> {
  const values = [...new Set(promises)].map(async (promise) => [promise, await promise] as const)
  return new Map(await Promise.all(values))
}

/**
 * Where a hash is kept: a number, since a text that is looked up is first sought among all texts that V8 knows. The
 * few hashes that have theirs in common drive each other out.
 */
function slotOf(hash: string): number {
  let slot = 0
  for (let i = 0; i < 8; i++) slot = Math.imul(slot ^ hash.charCodeAt(i), 0x01000193)
  return slot
}
