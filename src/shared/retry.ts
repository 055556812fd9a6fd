const second = 1000
const minute = 60 * second
const hour = 60 * minute

/**
 * Between attempts, over about a day. More attempts than Standard Webhooks recommends (8): with those, a receiver that fails
 * half of the time would lose one message in 256, and with these, one in 33 million.
 */
const delays = [
  ...[5 * second, 30 * second, 2 * minute, 5 * minute, 15 * minute, 30 * minute],
  ...Array<number>(12).fill(hour),
  ...Array<number>(6).fill(2 * hour),
]
const longestMs = 24 * hour

/**
 * When to try again after `attempts` failed attempts; null: not again. The delay varies by a fifth, so that attempts
 * that failed together are not repeated together. `retryAfter` is a Retry-After header (RFC 9110 §10.2.3), which can
 * only add to it.
 */
export function retryAt(attempts: number, now: Date, retryAfter?: string): Date | null {
  const delay = delays[attempts - 1]
  if (delay === undefined) return null
  const usual = delay * (0.8 + 0.4 * Math.random())
  return new Date(now.getTime() + Math.max(usual, Math.min(longestMs, msOf(retryAfter, now))))
}

function msOf(retryAfter: string | undefined, now: Date): number {
  if (retryAfter === undefined) return 0
  if (/^\d{1,9}$/.test(retryAfter)) return Number(retryAfter) * second
  const date = Date.parse(retryAfter)
  return Number.isNaN(date) ? 0 : date - now.getTime()
}
