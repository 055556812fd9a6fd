import type { JWTVerifyGetKey } from 'jose'
import type { TrustedIssuer } from '../db/tables.ts'
import { AppError } from '../errors.ts'
import type { Outbound } from '../outbound/outbound.ts'
import { createMetadata } from './metadata.ts'

/** How many requests may wait for one issuer, and for all of them. */
const mostOfOne = 10
const mostOfAll = 50

/** The keys of registered issuers. Fetched when they are needed, and kept for a while. */
export function createKeys(outbound: Outbound): (registration: TrustedIssuer) => JWTVerifyGetKey {
  const jwksUriOf = createMetadata(outbound)
  const wait = createWaitingRoom()
  return ({ issuer, jwksUri }) =>
    (header, token) =>
      wait(issuer, async () => outbound.jwks(jwksUri ?? (await jwksUriOf(issuer)))(header, token))
}

/**
 * Stands against an issuer that does not answer, or takes its time, and those who send it tokens: its users wait, or
 * are turned away, and all others find room.
 */
function createWaitingRoom() {
  const waiting = new Map<string, number>()
  let all = 0
  return async <T>(issuer: string, work: () => Promise<T>): Promise<T> => {
    const some = waiting.get(issuer) ?? 0
    if (some >= mostOfOne || all >= mostOfAll)
      throw new AppError('unavailable', 'Too many are waiting for the keys of issuers.')
    waiting.set(issuer, some + 1)
    all += 1
    try {
      return await work()
    } finally {
      all -= 1
      const left = (waiting.get(issuer) ?? 1) - 1
      if (left > 0) waiting.set(issuer, left)
      else waiting.delete(issuer)
    }
  }
}
