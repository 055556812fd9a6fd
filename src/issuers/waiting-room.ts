import { setImmediate } from 'node:timers/promises'
import { AppError } from '../errors.ts'

/** How many requests may wait for the issuers of one organization, and of all. */
const mostOfOne = 20
const mostOfAll = 100

/**
 * Stands against issuers that take their time, by accident or because a tenant wants to keep everybody busy: some of
 * their users wait, further ones are turned away, and the rest of the service has room. Who finds the keys in memory
 * does not wait, and is not counted.
 */
export function createWaitingRoom() {
  const waiting = new Map<string, number>()
  let all = 0
  return async <T>(organizationId: string, work: () => Promise<T>): Promise<T> => {
    const answer = work()
    if (await isThere(answer)) return answer
    const some = waiting.get(organizationId) ?? 0
    if (some >= mostOfOne || all >= mostOfAll) {
      answer.catch(() => {})
      throw new AppError('unavailable', 'Too many are waiting for the keys of issuers.')
    }
    waiting.set(organizationId, some + 1)
    all += 1
    try {
      return await answer
    } finally {
      all -= 1
      const left = (waiting.get(organizationId) ?? 1) - 1
      if (left > 0) waiting.set(organizationId, left)
      else waiting.delete(organizationId)
    }
  }
}

/** Whether it comes without anything being waited for. */
async function isThere(answer: Promise<unknown>): Promise<boolean> {
  const there = answer.then(
    () => true,
    () => true,
  )
  return Promise.race([there, setImmediate(false)])
}
