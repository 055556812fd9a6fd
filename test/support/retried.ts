import { setTimeout } from 'node:timers/promises'

/** Sends again after a 503, as a client should: on a busy machine a burst of requests can exceed the connections. */
export async function retried<T extends { status: number }>(send: () => Promise<T>): Promise<T> {
  for (;;) {
    const answer = await send()
    if (answer.status !== 503) return answer
    await setTimeout(5)
  }
}
