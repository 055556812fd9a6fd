import {
  createLocalJWKSet,
  createRemoteJWKSet,
  customFetch,
  errors,
  type JSONWebKeySet,
  type JWTVerifyGetKey,
  type RemoteJWKSet,
} from 'jose'
import { LRUCache } from 'lru-cache'
import { CrowdedError, OutboundError } from './error.ts'
import { fitPublicKey } from './public-key.ts'

/** How soon keys are fetched again for a `kid` that is not among them, or after a fetch that failed. */
export const cooldownMs = 30_000
/** How long keys are believed without being fetched again. */
export const maxAgeMs = 600_000
/** How many keys a set may have: each of them is checked. */
export const mostKeys = 100
/** How many may wait for the keys of one URL. */
export const mostWaiting = 20
/** Of how many URLs keys are kept: at 256 KiB each 50 MiB, if all of them are made to be large. */
const capacity = 200

type FetchJson = (url: string, organizationId: string) => Promise<unknown>

/**
 * The keys at a URL, for jose to verify with; those that were used last stay in memory. Each organization has its own of
 * them, so that what one does to a URL is not noticed by another.
 */
export function createRemoteJwks(fetchJson: FetchJson, elapsed: () => number) {
  const sets = new LRUCache<string, JWTVerifyGetKey>({ max: capacity })
  return (url: string, organizationId: string): JWTVerifyGetKey => {
    const name = `${organizationId} ${url}`
    const known = sets.get(name)
    if (known) return known
    const set = notCrowded(
      createRemoteJWKSet(new URL(url), {
        cooldownDuration: cooldownMs,
        cacheMaxAge: maxAgeMs,
        [customFetch]: coolingDown((href) => fetchKeys(href, organizationId, fetchJson), elapsed),
      }),
    )
    sets.set(name, set)
    return set
  }
}

/** Stands against an address that takes its time, to have more and more of us wait for it. */
function notCrowded(set: RemoteJWKSet): JWTVerifyGetKey {
  let waiting = 0
  return async (header, token) => {
    if (set.reloading && waiting >= mostWaiting) throw new OutboundError('has others waiting for it')
    waiting += 1
    try {
      return await set(header, token)
    } finally {
      waiting -= 1
    }
  }
}

/** Of a set what can be verified with: RFC 7517 §5 has all other keys ignored. */
async function fetchKeys(url: string, organizationId: string, fetchJson: FetchJson): Promise<Response> {
  const jwks = (await fetchJson(url, organizationId)) as JSONWebKeySet
  try {
    createLocalJWKSet(jwks)
  } catch (error) {
    if (error instanceof errors.JWKSInvalid) throw new OutboundError('is not a JWK Set')
    throw error
  }
  if (jwks.keys.length > mostKeys) throw new OutboundError(`has more than ${mostKeys} keys`)
  return Response.json({ keys: jwks.keys.filter(fitPublicKey) })
}

/**
 * jose's own cooldown begins with a success. Without this one whoever sends forged tokens could have us call a URL
 * that does not answer as often as they like.
 */
function coolingDown(fetch: (url: string) => Promise<Response>, elapsed: () => number) {
  let failure: { at: number; error: unknown } | undefined
  return async (url: string): Promise<Response> => {
    if (failure && elapsed() - failure.at < cooldownMs) throw failure.error
    try {
      const response = await fetch(url)
      failure = undefined
      return response
    } catch (error) {
      if (!(error instanceof CrowdedError)) failure = { at: elapsed(), error }
      throw error
    }
  }
}
