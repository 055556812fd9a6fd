import type { Db } from '../db/database.ts'
import type { Repeat } from '../repeat.ts'
import type { HashText } from '../tokens/secret.ts'
import { recordUses, type Use } from './usage-store.ts'

export type UsageOptions = {
  onError(error: Error): void
  every: Repeat
  /** How many secrets can wait to be written; further ones go unnoted until there is room. */
  capacity?: number
}

/** Keeps account of when and how often secrets are used, at no cost to who uses them. */
export type Usage = {
  note(hash: HashText, at: Date, ip: string | null): void
  /** Writes some of what was noted. What fails is tried again the next time. */
  flush(): Promise<void>
  /** Writes all of it. */
  close(): Promise<void>
}

const flushMs = 1_000
const rowsAtOnce = 2_000
// What remains on close is being changed by others, whom it is not worth to wait for.
const vainAttempts = 3

export function createUsage(db: Db, { onError, every, capacity = 100_000 }: UsageOptions): Usage {
  const noted = new Map<HashText, Use>()
  let flushing: Promise<void> | undefined

  function add({ hash, at, count, ip }: Use): void {
    const use = noted.get(hash)
    if (use) {
      use.count += count
      if (at > use.at) use.at = at
      use.ip = ip ?? use.ip
    } else if (noted.size < capacity) noted.set(hash, { hash, at, count, ip })
  }

  async function write(): Promise<void> {
    const uses: Use[] = []
    for (const use of noted.values()) {
      if (uses.length === rowsAtOnce) break
      uses.push(use)
      noted.delete(use.hash)
    }
    let missed = uses
    try {
      if (uses.length > 0) missed = await recordUses(db, uses)
    } finally {
      missed.forEach(add)
    }
  }

  function flush(): Promise<void> {
    flushing ??= write().finally(() => {
      flushing = undefined
    })
    return flushing
  }

  const stop = every(flushMs, () => void flush().catch(onError))
  return {
    note: (hash, at, ip) => add({ hash, at, count: 1, ip }),
    flush,
    async close() {
      stop()
      await flushing?.catch(onError)
      try {
        let vain = 0
        while (noted.size > 0 && vain < vainAttempts) {
          const before = noted.size
          await flush()
          vain = noted.size < before ? 0 : vain + 1
        }
      } catch (error) {
        onError(error as Error)
      }
    },
  }
}
