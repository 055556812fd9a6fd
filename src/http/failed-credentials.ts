import type { FastifyBaseLogger, FastifyRequest } from 'fastify'
import { LRUCache } from 'lru-cache'
import { Counter, type Registry } from 'prom-client'
import { callerNetwork } from '../shared/addresses.ts'
import { AppError } from '../shared/errors.ts'

declare module 'fastify' {
  interface FastifyInstance {
    failedCredentials: FailedCredentials
  }
}

export type FailureLimit = {
  /** How many failures per address within the window get 401 before 429; 0: no limit. */
  limit: number
  windowSeconds: number
  /** A monotonic clock in milliseconds. */
  elapsed?: () => number
}

export type FailedCredentials = {
  /** Records an error caused by a bad credential of an unauthenticated request; returns the error to send. */
  note(request: FastifyRequest, ip: string | undefined, error: AppError): AppError
}

/** About 2 MiB. Beyond that the address with the oldest failure is evicted. */
const maxAddresses = 10_000
const logEveryMs = 1_000

/**
 * Counts bad credentials of callers, logs a sample of them, and throttles addresses with too many. Only requests that
 * would be rejected anyway get here: good credentials are never slowed down, regardless of other requests from their
 * address. The token being introspected does not count.
 */
export function createFailedCredentials(
  registry: Registry,
  log: FastifyBaseLogger,
  { limit, windowSeconds, elapsed = () => performance.now() }: FailureLimit,
): FailedCredentials {
  const counter = new Counter({
    name: 'counterfoil_failed_credentials_total',
    help: 'Bad credentials of callers, by route and by whether the address was throttled',
    labelNames: ['route', 'throttled'],
    registers: [registry],
  })
  const addresses = new LRUCache<string, { failures: number; since: number }>({ max: maxAddresses })
  let loggedAt = Number.NEGATIVE_INFINITY
  let unlogged = 0

  /** How many seconds the address has to wait, if it has failed too often. */
  function waitOf(address: string, now: number): number | undefined {
    if (limit === 0) return undefined
    const windowMs = windowSeconds * 1000
    const known = addresses.get(address)
    const current = known && now - known.since < windowMs ? known : { failures: 0, since: now }
    current.failures += 1
    addresses.set(address, current)
    return current.failures > limit ? Math.ceil((current.since + windowMs - now) / 1000) : undefined
  }

  return {
    note(request, ip, error) {
      if (error.code !== 'invalid_token' && error.code !== 'invalid_client') return error
      const now = elapsed()
      const address = callerNetwork(ip)
      const route = request.routeOptions.url ?? 'none'
      const retryAfter = waitOf(address, now)
      counter.inc({ route, throttled: String(retryAfter !== undefined) })
      unlogged += 1
      if (now - loggedAt >= logEveryMs) {
        const count = unlogged
        log.warn(
          { reqId: request.id, route, address, code: error.code, count },
          'callers failed to authenticate',
        )
        loggedAt = now
        unlogged = 0
      }
      if (retryAfter === undefined) return error
      const detail =
        'Too many authentications from this address have failed. Check your credential, and try again later.'
      return new AppError('too_many_requests', detail, { retryAfter })
    },
  }
}
