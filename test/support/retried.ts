import { until } from './until.ts'

/** Sends again after a 503, as a client should: on a busy machine a burst of requests can exceed the connections. */
export function retried<T extends { status: number }>(send: () => Promise<T>): Promise<T> {
  return until(async () => {
    const answer = await send()
    return answer.status === 503 ? undefined : answer
  })
}
