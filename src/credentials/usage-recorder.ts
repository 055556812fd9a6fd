import { unused } from '../access/credential.ts'
import type { Db } from '../db/database.ts'
import type { Interval } from '../shared/interval.ts'
import { recordStaticUses, recordUses, type UsedToken } from './usage-store.ts'

export type UsageRecorderOptions = {
  onError(error: Error): void
  every: Interval
  /** How many tokens can wait to be written; uses of further ones are not recorded until there is room. */
  capacity?: number
}

/** Records when and how often tokens are used, without delaying the requests that use them. */
export type UsageRecorder = {
  /** Notes the use on the token object itself, where it costs nothing to find. */
  note(use: UsedToken, at: Date, from: string | null): void
  /** Counts a good token that was not accepted, from this address or by this resource server. */
  reject(reason: 'network' | 'not_visible'): undefined
  rejections(): { network: number; not_visible: number }
  /** Writes some of the noted uses. Those that fail are retried the next time. */
  flush(): Promise<void>
  /** Writes all noted uses. */
  close(): Promise<void>
}

const flushMs = 1_000
const rowsAtOnce = 1_000
// On close, rows still locked by other transactions after this many attempts are abandoned.
const closeAttempts = 3

export function createUsageRecorder(
  db: Db,
  { onError, every, capacity = 100_000 }: UsageRecorderOptions,
): UsageRecorder {
  // By secret id.
  const waiting = new Map<string, UsedToken>()
  const rejections = { network: 0, not_visible: 0 }
  let flushing: Promise<void> | undefined

  function add(use: UsedToken, count: number, at: number, from: string | null): void {
    const known = use.uses > 0 ? use : (waiting.get(use.secretId) ?? use)
    if (known.uses === 0) {
      if (waiting.size >= capacity) return
      waiting.set(use.secretId, known)
      known.usedFrom = null
    }
    known.uses += count
    if (at > known.usedAt) known.usedAt = at
    if (from !== null) known.usedFrom = from
  }

  async function write(): Promise<void> {
    const uses: UsedToken[] = []
    for (const use of waiting.values()) {
      if (uses.length === rowsAtOnce) break
      const { organizationId, tokenId, secretId, uses: count, usedAt, usedFrom, isStatic } = use
      uses.push({ organizationId, tokenId, secretId, uses: count, usedAt, usedFrom, isStatic })
      waiting.delete(secretId)
      use.uses = 0
    }
    let missed = uses
    try {
      if (uses.length > 0) missed = await record(uses)
    } finally {
      for (const use of missed) add({ ...use, ...unused }, use.uses, use.usedAt, use.usedFrom)
    }
  }

  async function record(uses: UsedToken[]): Promise<UsedToken[]> {
    const ofStatic = uses.filter(({ isStatic }) => isStatic)
    if (ofStatic.length === 0) return recordUses(db, uses)
    const ofTokens = uses.filter(({ isStatic }) => !isStatic)
    return db
      .transaction()
      .execute(async (tx) => [...(await recordStaticUses(tx, ofStatic)), ...(await recordUses(tx, ofTokens))])
  }

  function flush(): Promise<void> {
    flushing ??= write().finally(() => {
      flushing = undefined
    })
    return flushing
  }

  const stop = every(flushMs, () => void flush().catch(onError))
  return {
    note: (use, at, from) => add(use, 1, at.getTime(), from),
    reject(reason) {
      rejections[reason] += 1
      return undefined
    },
    rejections: () => rejections,
    flush,
    async close() {
      stop()
      await flushing?.catch(onError)
      try {
        let failures = 0
        while (waiting.size > 0 && failures < closeAttempts) {
          const before = waiting.size
          await flush()
          failures = waiting.size < before ? 0 : failures + 1
        }
      } catch (error) {
        onError(error as Error)
      }
    },
  }
}
