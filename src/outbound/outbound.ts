import type { JWTVerifyGetKey } from 'jose'
import { type FetchLimits, fetchJson } from './fetch-json.ts'
import { createGuard, type Resolve } from './guard.ts'
import { createRemoteJwks } from './remote-jwks.ts'

/** Calls to URLs that tenants registered. */
export type Outbound = {
  /** What keeps a URL from being registered, as the end of a sentence; undefined if nothing. Nobody is called. */
  flawOf(url: string): string | undefined
  /** Throws an OutboundError where there is no such document. */
  fetchJson(url: string): Promise<unknown>
  /** The keys of the JWK Set at a URL. While they cannot be had, verifying with them throws an OutboundError. */
  jwks(url: string): JWTVerifyGetKey
}

export type OutboundOptions = {
  /** Networks that may be called although they are not public; on loopback also without TLS. */
  allow: readonly string[]
  limits?: FetchLimits
  resolve?: Resolve
  /** Milliseconds that only ever go forward. */
  elapsed?: () => number
}

const defaults: FetchLimits = { timeoutMs: 5_000, maxBytes: 256 * 1024 }

export function createOutbound({
  allow,
  limits = defaults,
  resolve,
  elapsed = () => performance.now(),
}: OutboundOptions): Outbound {
  const guard = createGuard(allow, resolve)
  const fetch = (url: string) => fetchJson(url, guard, limits)
  return { flawOf: guard.flawOf, fetchJson: fetch, jwks: createRemoteJwks(fetch, elapsed) }
}
