import { setTimeout } from 'node:timers/promises'

/** Asks again until the answer is not empty, for what cannot be awaited in another way; returns the answer. */
export async function until<T>(ask: () => T | Promise<T>): Promise<NonNullable<T>> {
  for (;;) {
    const answer = await ask()
    if (answer) return answer
    await setTimeout(5)
  }
}
