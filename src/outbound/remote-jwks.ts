import {
  createLocalJWKSet,
  createRemoteJWKSet,
  customFetch,
  errors,
  type JSONWebKeySet,
  type JWTVerifyGetKey,
} from 'jose'
import { LRUCache } from 'lru-cache'
import { OutboundError } from './error.ts'

/** How soon keys are fetched again for a `kid` that is not among them, or after a fetch that failed. */
export const cooldownMs = 30_000
/** How long keys are believed without being fetched again. */
export const maxAgeMs = 600_000
/** Of how many URLs keys are kept: at 256 KiB each 50 MiB, if all of them are made to be large. */
const capacity = 200

type FetchJson = (url: string) => Promise<unknown>

/** The keys at a URL, for jose to verify with; those that were used last stay in memory. */
export function createRemoteJwks(fetchJson: FetchJson, elapsed: () => number) {
  const sets = new LRUCache<string, JWTVerifyGetKey>({ max: capacity })
  return (url: string): JWTVerifyGetKey => {
    const known = sets.get(url)
    if (known) return known
    const set = createRemoteJWKSet(new URL(url), {
      cooldownDuration: cooldownMs,
      cacheMaxAge: maxAgeMs,
      [customFetch]: coolingDown((href) => fetchKeys(href, fetchJson), elapsed),
    })
    sets.set(url, set)
    return set
  }
}

async function fetchKeys(url: string, fetchJson: FetchJson): Promise<Response> {
  const jwks = await fetchJson(url)
  try {
    createLocalJWKSet(jwks as JSONWebKeySet)
  } catch (error) {
    if (error instanceof errors.JWKSInvalid) throw new OutboundError('is not a JWK Set')
    throw error
  }
  return Response.json(jwks)
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
      failure = { at: elapsed(), error }
      throw error
    }
  }
}
