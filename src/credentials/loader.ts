import { slotOf } from './slot.ts'

/** What there is of the keys, in their order. */
export type Lookup<Key, Value> = (keys: Key[]) => Promise<(Value | undefined)[]>

/**
 * Looks keys up in batches: all that are asked for within a turn of the event loop, or while earlier batches are
 * under way, go to the database in one statement, each once; where there is room for another batch, one that has its
 * size waits for nothing more. An answer is never older than the question: a key that has been sent already is asked
 * again.
 */
export function createLoader<Key extends string, Value>(
  ask: Lookup<Key, Value>,
  { atOnce, size }: { atOnce: number; size: number },
): Lookup<Key, Value> {
  let waiting: Key[] = []
  let places = new Map<number, number>()
  let answer = Promise.withResolvers<(Value | undefined)[]>()
  let underway = 0
  let scheduled = false

  function schedule(): void {
    if (scheduled || underway === atOnce || waiting.length === 0) return
    scheduled = true
    setImmediate(() => {
      scheduled = false
      void send()
    })
  }

  async function send(): Promise<void> {
    if (underway === atOnce || waiting.length === 0) return
    const keys = waiting
    const { resolve, reject } = answer
    waiting = []
    places = new Map()
    answer = Promise.withResolvers()
    underway += 1
    try {
      resolve(await ask(keys))
    } catch (error) {
      reject(error)
    }
    underway -= 1
    schedule()
  }

  // Of two keys with one slot, which is next to never, either may be asked for twice.
  function placeOf(key: Key): number {
    const slot = slotOf(key)
    const place = places.get(slot)
    if (place !== undefined && waiting[place] === key) return place
    places.set(slot, waiting.length)
    return waiting.push(key) - 1
  }

  return async (keys) => {
    if (keys.length === 0) return []
    if (waiting.length >= size) void send()
    const asked = keys.map(placeOf)
    schedule()
    const found = await answer.promise
    return asked.map((place) => found[place])
  }
}
