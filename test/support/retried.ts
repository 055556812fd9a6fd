import { setImmediate } from 'node:timers/promises'

/**
 * As a client does that heeds Retry-After: on a busy machine a burst of requests outruns the connections there are. What
 * makes room again gets its turn in between, which it would not where requests come in by `inject` alone.
 */
export async function retried<T extends { status: number }>(send: () => Promise<T>): Promise<T> {
  for (;;) {
    const answer = await send()
    if (answer.status !== 503) return answer
    await setImmediate()
  }
}
