type Ask<Key, Value> = (keys: Key[]) => Promise<Map<Key, Value>>

/**
 * Looks keys up in batches: all that are asked for within a turn of the event loop, or while earlier batches are
 * under way, go to the database in one statement, each once; where there is room for another batch, one that has its
 * size waits for nothing more. An answer is never older than the question: a key that has been sent already is asked
 * again. Who asks gets the answer of the whole batch, of which nothing more is made for each key.
 */
export function batch<Key, Value>(
  ask: Ask<Key, Value>,
  { atOnce, size }: { atOnce: number; size: number },
): (keys: Set<Key>) => Promise<Map<Key, Value>> {
  let waiting = new Set<Key>()
  let answer = Promise.withResolvers<Map<Key, Value>>()
  let underway = 0
  let scheduled = false

  function schedule(): void {
    if (scheduled || underway === atOnce || waiting.size === 0) return
    scheduled = true
    setImmediate(() => {
      scheduled = false
      void send()
    })
  }

  async function send(): Promise<void> {
    if (underway === atOnce || waiting.size === 0) return
    const keys = [...waiting]
    const { resolve, reject } = answer
    waiting = new Set()
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

  return (keys) => {
    if (keys.size === 0) return Promise.resolve(new Map())
    if (waiting.size >= size) void send()
    for (const key of keys) waiting.add(key)
    schedule()
    return answer.promise
  }
}
