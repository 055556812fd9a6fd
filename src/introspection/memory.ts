import { LRUCache } from 'lru-cache'

type Lookup<Key, Value> = (key: Key) => Promise<Value | undefined>

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
  const underway = new Map<Key, Promise<Value | undefined>>()

  async function ask(key: Key): Promise<Value | undefined> {
    const answer = lookup(key)
    underway.set(key, answer)
    try {
      const value = await answer
      if (underway.get(key) === answer) {
        if (value) known.set(slotOf(key), value)
        else unknown.set(key, true)
      }
      return value
    } finally {
      if (underway.get(key) === answer) underway.delete(key)
    }
  }

  let recalled = 0

  return {
    /** What was found before, if it is remembered. */
    recall(key: Key): Value | undefined {
      if (!mayRemember()) return undefined
      recalled += 1
      const slot = slotOf(key)
      // To move what is used to the end of the queue costs as much as to find it: what is used often is moved often.
      const value = recalled % 8 === 0 ? known.get(slot) : known.peek(slot)
      return value?.hash === key ? value : undefined
    },
    find(key: Key): Value | undefined | Promise<Value | undefined> {
      if (!mayRemember()) return lookup(key)
      const value = known.get(slotOf(key))
      if (value?.hash === key) return value
      return unknown.has(key) ? undefined : (underway.get(key) ?? ask(key))
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

/**
 * Where a hash is kept: a number, since a text that is looked up is first sought among all texts that V8 knows. The
 * few hashes that have theirs in common drive each other out.
 */
function slotOf(hash: string): number {
  let slot = 0
  for (let i = 0; i < 8; i++) slot = Math.imul(slot ^ hash.charCodeAt(i), 0x01000193)
  return slot
}
