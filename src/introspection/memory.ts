import { LRUCache } from 'lru-cache'

type Lookup<Key, Value> = (key: Key) => Promise<Value | undefined>

/**
 * Remembers what was looked up, for as long as `mayRemember` says so. What is unknown is kept apart, so that a flood of
 * garbage drives out nothing else.
 */
export function remember<Key extends string, Value extends object>(
  lookup: Lookup<Key, Value>,
  { size, mayRemember }: { size: number; mayRemember: () => boolean },
) {
  const known = new LRUCache<Key, Value>({ max: size })
  const unknown = new LRUCache<Key, true>({ max: Math.ceil(size / 10) })
  // A change takes the key out of here: an answer that was asked for before is then neither kept nor given to others.
  const underway = new Map<Key, Promise<Value | undefined>>()

  async function ask(key: Key): Promise<Value | undefined> {
    const answer = lookup(key)
    underway.set(key, answer)
    try {
      const value = await answer
      if (underway.get(key) === answer) {
        if (value) known.set(key, value)
        else unknown.set(key, true)
      }
      return value
    } finally {
      if (underway.get(key) === answer) underway.delete(key)
    }
  }

  return {
    find(key: Key): Value | undefined | Promise<Value | undefined> {
      if (!mayRemember()) return lookup(key)
      return known.get(key) ?? (unknown.has(key) ? undefined : (underway.get(key) ?? ask(key)))
    },
    forget(key: Key): void {
      known.delete(key)
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
