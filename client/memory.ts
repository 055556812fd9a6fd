import { LRUCache } from 'lru-cache'
import type { Answer, Introspection, Revocation } from './introspection.ts'

export type MemoryOptions = {
  /** How many good tokens are cached; a tenth as many bad ones are. */
  size: number
  /** How long an answer is used without the feed. */
  ttlMs: number
  /** The longest time an answer is used while the feed covers it. */
  feedTtlMs: number
  /** The longest time an introspection can take. */
  timeoutMs: number
  /** A monotonic clock in milliseconds. */
  elapsed(): number
}

/** For this long, an instance that has not received a change yet may answer as if it had not happened. */
const settleMs = 3_000
const maxNamed = 10_000

/** Reasons that are final for a secret; after other events it may be good again. */
const final: Revocation['reason'][] = ['revoked', 'deleted', 'secret_ended']

type Kept = { answer: Introspection; askedAt: number; vouched: boolean }

/**
 * Caches answers by the hash of their token. The feed covers an answer if it would report a change of it: if it has
 * been followed without a gap since before the answer could have become stale, and its last beat is recent.
 */
export function createMemory({ size, ttlMs, feedTtlMs, timeoutMs, elapsed }: MemoryOptions) {
  const good = new LRUCache<string, Kept>({ max: size })
  const bad = new LRUCache<string, number>({ max: Math.ceil(size / 10) })
  /** The latest events of the feed with their times, oldest first. */
  const named = new Map<string, { at: number; ended: boolean }>()
  let followedSince: number | undefined
  let trustedUntil = Number.NEGATIVE_INFINITY

  function name(what: string, ended = false): void {
    const now = elapsed()
    named.delete(what)
    named.set(what, { at: now, ended })
    for (const [other, { at }] of named) {
      if (at > now - settleMs - timeoutMs) break
      named.delete(other)
    }
    if (named.size > maxNamed) reset()
  }

  /** The answer may predate a change that the feed has already reported and will not report again. */
  function isDoubtful(hash: string, answer: Answer, since: number): boolean {
    const about = answer.active
      ? [
          hash,
          `organization ${answer.organization}`,
          `type ${answer.type}`,
          ownerOf(answer.organization, answer.sub),
        ]
      : [hash]
    return about.some((what) => (named.get(what)?.at ?? Number.NEGATIVE_INFINITY) >= since)
  }

  function forgetWhere(matches: (answer: Introspection) => boolean): void {
    for (const [hash, { answer }] of good.entries()) if (matches(answer)) good.delete(hash)
  }

  function reset(): void {
    good.clear()
    bad.clear()
    named.clear()
    followedSince = elapsed()
  }

  return {
    find(hash: string): Answer | undefined {
      const now = elapsed()
      const kept = good.get(hash)
      if (kept) {
        const age = now - kept.askedAt
        const vouched = kept.vouched && now < trustedUntil && age < feedTtlMs
        return vouched || age < ttlMs ? kept.answer : undefined
      }
      const event = named.get(hash)
      if (event?.ended && now - event.at < settleMs) return { active: false }
      const askedAt = bad.get(hash)
      return askedAt !== undefined && now - askedAt < ttlMs ? { active: false } : undefined
    },
    keep(hash: string, answer: Answer, askedAt: number): void {
      const since = askedAt - settleMs
      if (isDoubtful(hash, answer, since)) return
      if (!answer.active) return void bad.set(hash, askedAt)
      bad.delete(hash)
      good.set(hash, { answer, askedAt, vouched: followedSince !== undefined && since >= followedSince })
    },
    /**
     * Invalidates the answers that an event is about. Ended secrets are rejected without asking an instance that may
     * not have received the change yet.
     */
    tell({ hash, organization, type, owner, reason }: Revocation): void {
      if (hash !== null) {
        good.delete(hash)
        name(hash, final.includes(reason))
      } else if (organization !== null && typeof owner === 'string') {
        forgetWhere((answer) => answer.organization === organization && answer.sub === owner)
        name(ownerOf(organization, owner))
      } else if (organization !== null) {
        forgetWhere((answer) => answer.organization === organization)
        name(`organization ${organization}`)
      } else if (type !== null) {
        forgetWhere((answer) => answer.type === type)
        name(`type ${type}`)
      } else reset()
    },
    /** The feed has reported every change until then. */
    trust(until: number): void {
      followedSince ??= elapsed()
      trustedUntil = until
    },
    /** Events may have been missed. */
    reset,
  }
}

function ownerOf(organization: string, subject: string): string {
  return `owner ${organization} ${subject}`
}

export type Memory = ReturnType<typeof createMemory>
