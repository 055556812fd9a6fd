import { setImmediate } from 'node:timers/promises'
import { createShares } from '../outbound/shares.ts'
import { AppError } from '../shared/errors.ts'

/** How many requests may wait for one organization's issuers, and for all issuers. */
const most = { ofOne: 20, ofAll: 100 }

/**
 * Protects against issuers that are slow, by accident or on purpose: some of their users wait, further ones are
 * rejected, and the rest of the service keeps its capacity. Requests whose keys are cached neither wait nor count.
 */
export function createBulkhead() {
  const enter = createShares(most)
  return async <T>(organizationId: string, work: () => Promise<T>): Promise<T> => {
    const answer = work()
    if (await isThere(answer)) return answer
    const leave = enter(organizationId)
    if (!leave) {
      answer.catch(() => {})
      throw new AppError('unavailable', "Too many requests are waiting for issuers' keys.")
    }
    return answer.finally(leave)
  }
}

/** Whether the promise is already settled. */
async function isThere(answer: Promise<unknown>): Promise<boolean> {
  const there = answer.then(
    () => true,
    () => true,
  )
  return Promise.race([there, setImmediate(false)])
}
