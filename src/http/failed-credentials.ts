import type { FastifyBaseLogger, FastifyRequest } from 'fastify'
import { LRUCache } from 'lru-cache'
import { Counter, type Registry } from 'prom-client'
import { callerNetwork } from '../addresses.ts'
import { AppError } from '../errors.ts'

declare module 'fastify' {
  interface FastifyInstance {
    failedCredentials: FailedCredentials
  }
}

export type FailureLimit = {
  /** How many failures of one address within the window are answered with 401; 0: all. */
  limit: number
  windowSeconds: number
  /** Milliseconds that only ever go forward. */
  elapsed?: () => number
}

export type FailedCredentials = {
  /** Notes the error of a request whose caller is not known, if its credential is at fault, and gives what to answer. */
  note(request: FastifyRequest, ip: string | undefined, error: AppError): AppError
}

/** About 2 MiB. Beyond that the address that failed longest ago is forgotten. */
const mostAddresses = 10_000
const logEveryMs = 1_000

/**
 * Counts credentials of callers that were not good, logs a sample of them, and tells an address with too many to wait.
 * Only requests that would be refused anyway come here: a good credential is never slowed down, whatever else comes from
 * its address. The token that is asked about does not count.
 */
export function createFailedCredentials(
  registry: Registry,
  log: FastifyBaseLogger,
  { limit, windowSeconds, elapsed = () => performance.now() }: FailureLimit,
): FailedCredentials {
  const counter = new Counter({
    name: 'counterfoil_failed_credentials_total',
    help: 'Credentials of callers that were not good, by route and by whether the address was told to wait',
    labelNames: ['route', 'throttled'],
    registers: [registry],
  })
  const addresses = new LRUCache<string, { failures: number; since: number }>({ max: mostAddresses })
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
          'credentials of callers failed',
        )
        loggedAt = now
        unlogged = 0
      }
      if (retryAfter === undefined) return error
      const detail = 'Too many credentials from this address were not good. Check yours, and try again later.'
      return new AppError('too_many_requests', detail, { retryAfter })
    },
  }
}
