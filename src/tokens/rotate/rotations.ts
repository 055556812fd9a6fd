import type { Db } from '../../db/database.ts'
import type { Interval } from '../../shared/interval.ts'
import type { HashText } from '../../shared/secret.ts'
import { activateSecret } from './activate.ts'
import { endDueSecrets } from './overlap.ts'
import { type Presented, recordReuses } from './reuse.ts'

export type RotationsOptions = {
  now: () => Date
  every: Interval
  onError(error: Error): void
  /** Lets the secret be looked up again when it is next presented. */
  forget(hash: HashText): void
  /** How many presented secrets can wait to be examined. */
  capacity?: number
}

/** The background work of rotations: activation, the end of overlaps, and the recognition of reuse. */
export type Rotations = {
  /** For a pending secret that is presented. */
  activate(hash: HashText, now: Date, from: string | null): Promise<void>
  /** For a presented secret that is not good. Does not wait. */
  presented(hash: HashText, at: Date, from: string | null): void
  /** Ends overlaps that are over, and examines the presented secrets. */
  flush(): Promise<void>
  close(): Promise<void>
}

/** How late the end of an overlap is announced. The secret itself ends on time. */
const everyMs = 1_000
const hashesAtOnce = 1_000

export function createRotations(
  db: Db,
  { now, every, onError, forget, capacity = 10_000 }: RotationsOptions,
): Rotations {
  let waiting = new Map<HashText, Presented>()
  let flushing: Promise<void> | undefined

  async function work(): Promise<void> {
    await endDueSecrets(db, now())
    const presented = [...waiting.values()]
    waiting = new Map()
    for (let start = 0; start < presented.length; start += hashesAtOnce) {
      const some = presented.slice(start, start + hashesAtOnce)
      try {
        for (const hash of await recordReuses(db, some)) forget(hash)
      } catch (error) {
        for (const { hash } of presented.slice(start)) forget(hash)
        throw error
      }
    }
  }

  function flush(): Promise<void> {
    flushing ??= work().finally(() => {
      flushing = undefined
    })
    return flushing
  }

  const stop = every(everyMs, () => void flush().catch(onError))

  return {
    activate: (hash, at, from) => activateSecret(db, hash, at, from),
    presented(hash, at, from) {
      if (waiting.has(hash)) return
      if (waiting.size < capacity) waiting.set(hash, { hash, at, from })
      // A flood of unknown secrets must not hide this one permanently.
      else forget(hash)
    },
    flush,
    async close() {
      stop()
      await flushing?.catch(onError)
      await flush().catch(onError)
    },
  }
}
