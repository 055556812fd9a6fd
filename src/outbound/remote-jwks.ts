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
import { OutboundError, TooManyCallsError } from './error.ts'
import { fitPublicKey } from './public-key.ts'

/** How soon keys are fetched again for an unknown `kid` or after a failed fetch. */
export const cooldownMs = 30_000
/** How long fetched keys are used. */
export const maxAgeMs = 600_000
/** The maximum number of keys in a set: each of them is checked. */
export const maxKeys = 100
/** The maximum number of requests that wait for the keys of one URL. */
export const maxWaiting = 20
/** The number of URLs whose keys are cached: 50 MiB at worst, at 256 KiB each. */
const capacity = 200

type FetchJson = (url: string, organizationId: string) => Promise<unknown>

/**
 * The keys at a URL, as a key function for jose; the most recently used are cached. Each organization has its own cache
 * entries, so that organizations that use the same URL do not affect each other.
 */
export function createRemoteJwks(fetchJson: FetchJson, elapsed: () => number) {
  const sets = new LRUCache<string, JWTVerifyGetKey>({ max: capacity })
  return (url: string, organizationId: string): JWTVerifyGetKey => {
    const name = `${organizationId} ${url}`
    const known = sets.get(name)
    if (known) return known
    const set = limitWaiting(
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

/** Keeps a slow URL from making more and more requests wait for it. */
function limitWaiting(set: RemoteJWKSet): JWTVerifyGetKey {
  let waiting = 0
  return async (header, token) => {
    if (set.reloading && waiting >= maxWaiting)
      throw new OutboundError('has too many requests waiting for it')
    waiting += 1
    try {
      return await set(header, token)
    } finally {
      waiting -= 1
    }
  }
}

/** Keeps the usable keys of a set: RFC 7517 §5 says to ignore the others. */
async function fetchKeys(url: string, organizationId: string, fetchJson: FetchJson): Promise<Response> {
  const jwks = (await fetchJson(url, organizationId)) as JSONWebKeySet
  try {
    createLocalJWKSet(jwks)
  } catch (error) {
    if (error instanceof errors.JWKSInvalid) throw new OutboundError('is not a JWK Set')
    throw error
  }
  if (jwks.keys.length > maxKeys) throw new OutboundError(`has more than ${maxKeys} keys`)
  return Response.json({ keys: jwks.keys.filter(fitPublicKey) })
}

/**
 * jose's own cooldown starts with a success. Without this one, forged tokens could make us call a failing URL at any
 * rate.
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
      if (!(error instanceof TooManyCallsError)) failure = { at: elapsed(), error }
      throw error
    }
  }
}
