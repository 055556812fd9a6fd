import type { JWTVerifyGetKey } from 'jose'
import { TooManyCallsError } from './error.ts'
import { type FetchLimits, type FetchRequest, fetchJson, fetchResponse, type JsonPost } from './fetch-json.ts'
import { createGuard } from './guard.ts'
import { type PostedMessage, type PostResponse, postJson } from './post-json.ts'
import { createRemoteJwks } from './remote-jwks.ts'
import type { Resolve } from './resolve.ts'
import { createShares } from './shares.ts'

/** Calls to URLs that tenants registered; each counts for the organization it is made for. */
export type Outbound = {
  /** Why a URL cannot be registered, as the end of a sentence; undefined if it can. Makes no call. */
  flawOf(url: string): string | undefined
  /** Throws an OutboundError if the document cannot be fetched. */
  fetchJson(url: string, organizationId: string): Promise<unknown>
  /** For libraries that work with `fetch`. Throws an OutboundError if there is no response, or one with a status of 429 or 5xx. */
  fetch(url: string, organizationId: string, request: FetchRequest): Promise<Response>
  /** Posts JSON. Throws an OutboundError if there is no response. */
  post(url: string, message: PostedMessage): Promise<PostResponse>
  /** The JSON in the response to a POST; throws an OutboundError. */
  postJson(url: string, organizationId: string, post: JsonPost): Promise<unknown>
  /** The keys of the JWK Set at a URL. While they cannot be fetched, verifying with them throws an OutboundError. */
  jwks(url: string, organizationId: string): JWTVerifyGetKey
}

export type OutboundOptions = {
  /** Networks that may be called although they are not public; on loopback also without TLS. */
  allow: readonly string[]
  limits?: FetchLimits
  resolve?: Resolve
  /** A monotonic clock in milliseconds. */
  elapsed?: () => number
}

const defaults: FetchLimits = { timeoutMs: 5_000, maxBytes: 256 * 1024 }

/** How many calls, and therefore DNS lookups, may be in progress. */
export const maxCalls = { ofOne: 10, ofAll: 50 }

export function createOutbound({
  allow,
  limits = defaults,
  resolve,
  elapsed = () => performance.now(),
}: OutboundOptions): Outbound {
  const guard = createGuard(allow, resolve)
  const enter = createShares(maxCalls)
  const sharing = async <T>(organizationId: string, work: () => Promise<T>): Promise<T> => {
    const leave = enter(organizationId)
    if (!leave)
      throw new TooManyCallsError('was not called because its organization has too many calls in progress')
    try {
      return await work()
    } finally {
      leave()
    }
  }
  const fetch = (url: string, organizationId: string, post?: JsonPost) =>
    sharing(organizationId, () => fetchJson(url, guard, limits, post))
  return {
    flawOf: guard.flawOf,
    fetchJson: fetch,
    postJson: fetch,
    fetch: (url, organizationId, request) =>
      sharing(organizationId, () => fetchResponse(url, guard, limits, request)),
    post: (url, message) => postJson(url, guard, message),
    jwks: createRemoteJwks(fetch, elapsed),
  }
}
