type Ask<Key, Value> = (keys: Key[]) => Promise<Map<Key, Value>>

/**
 * Looks keys up in batches: all that are asked for within a turn of the event loop, or while earlier batches are
 * under way, go to the database in one statement, each once. An answer is never older than the question: a key that
 * has been sent already is asked again.
 */
export function batch<Key, Value>(ask: Ask<Key, Value>, { atOnce }: { atOnce: number }) {
  let waiting = new Map<Key, PromiseWithResolvers<Value | undefined>>()
  let underway = 0
  let scheduled = false

  function schedule(): void {
    if (scheduled || underway === atOnce || waiting.size === 0) return
    scheduled = true
    setImmediate(send)
  }

  async function send(): Promise<void> {
    const asked = waiting
    waiting = new Map()
    scheduled = false
    underway += 1
    schedule()
    try {
      const found = await ask([...asked.keys()])
      for (const [key, { resolve }] of asked) resolve(found.get(key))
    } catch (error) {
      for (const { reject } of asked.values()) reject(error)
    }
    underway -= 1
    schedule()
  }

  return (key: Key): Promise<Value | undefined> => {
    const asked = waiting.get(key) ?? Promise.withResolvers<Value | undefined>()
    waiting.set(key, asked)
    schedule()
    return asked.promise
  }
}
