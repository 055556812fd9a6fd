import { type Context, traced, tracing } from '../shared/tracing.ts'

/** Returns the values of the keys, in their order. */
export type Lookup<Key, Value> = (keys: Key[]) => Promise<(Value | undefined)[]>

/**
 * A data loader: the keys requested within a turn of the event loop, or while `atOnce` batches are in flight, are
 * looked up in one batch, each key once. A batch that reaches `size` is sent at once if another may be in flight. A
 * value is never older than its request: a key that is already in flight is looked up again.
 */
export function createLoader<Key extends string, Value>(
  ask: Lookup<Key, Value>,
  { atOnce, size }: { atOnce: number; size: number },
): Lookup<Key, Value> {
  let waiting: Key[] = []
  let indexes = new Map<Key, number>()
  let answer = Promise.withResolvers<(Value | undefined)[]>()
  /** The traced requests that wait for the next batch. */
  let requesters: Context[] = []
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
    const of = requesters
    const { resolve, reject } = answer
    waiting = []
    requesters = []
    indexes = new Map()
    answer = Promise.withResolvers()
    underway += 1
    try {
      const attributes = { 'counterfoil.batch.size': keys.length }
      resolve(await traced('lookup batch', { of, attributes }, () => ask(keys)))
    } catch (error) {
      reject(error)
    }
    underway -= 1
    schedule()
  }

  function indexOf(key: Key): number {
    const index = indexes.get(key) ?? waiting.push(key) - 1
    indexes.set(key, index)
    return index
  }

  function join(): Promise<(Value | undefined)[]> {
    requesters.push(...(tracing?.requesters() ?? []))
    return answer.promise
  }

  return async (keys) => {
    if (keys.length === 0) return []
    if (waiting.length >= size) void send()
    const asked = keys.map(indexOf)
    schedule()
    const found = await (tracing ? tracing.waiting('lookup', join) : answer.promise)
    return asked.map((index) => found[index])
  }
}
