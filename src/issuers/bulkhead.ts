import { setImmediate } from 'node:timers/promises'
import { AppError } from '../errors.ts'
import { createShares } from '../outbound/shares.ts'

/** How many requests may wait for the issuers of one organization, and of all. */
const most = { ofOne: 20, ofAll: 100 }

/**
 * Stands against issuers that take their time, by accident or because a tenant wants to keep everybody busy: some of
 * their users wait, further ones are turned away, and the rest of the service has room. Who finds the keys in memory
 * does not wait, and is not counted.
 */
export function createWaitingRoom() {
  const enter = createShares(most)
  return async <T>(organizationId: string, work: () => Promise<T>): Promise<T> => {
    const answer = work()
    if (await isThere(answer)) return answer
    const leave = enter(organizationId)
    if (!leave) {
      answer.catch(() => {})
      throw new AppError('unavailable', 'Too many requests are waiting for the keys of issuers.')
    }
    return answer.finally(leave)
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
