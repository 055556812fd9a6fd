import { LRUCache } from 'lru-cache'
import { OutboundError, TooManyCallsError } from '../outbound/error.ts'
import type { Outbound } from '../outbound/outbound.ts'
import { cooldownMs, maxAgeMs } from '../outbound/remote-jwks.ts'

/** For how many issuers the location of their keys is cached. */
const capacity = 1000

/** Finds where an issuer publishes its keys, and caches it; failures are cached briefly. */
export function createMetadata({ fetchJson }: Pick<Outbound, 'fetchJson'>) {
  const known = new LRUCache<string, Promise<string>>({ max: capacity, ttl: maxAgeMs })
  return (issuer: string, organizationId: string): Promise<string> => {
    const name = `${organizationId} ${issuer}`
    const before = known.get(name)
    if (before) return before
    const asked = jwksUriOf(issuer, (url) => fetchJson(url, organizationId))
    known.set(name, asked)
    asked.catch((error) => {
      if (error instanceof TooManyCallsError) known.delete(name)
      else known.set(name, asked, { ttl: cooldownMs })
    })
    return asked
  }
}

async function jwksUriOf(issuer: string, fetchJson: (url: string) => Promise<unknown>): Promise<string> {
  const [openid, oauth] = metadataUrls(issuer)
  const metadata = await fetchJson(openid).catch(() => fetchJson(oauth))
  // Keeps an issuer from passing off another issuer's metadata as its own, and the reverse.
  if (member(metadata, 'issuer') !== issuer) throw new OutboundError("is not this issuer's metadata")
  const uri = member(metadata, 'jwks_uri')
  if (typeof uri !== 'string') throw new OutboundError('has no usable jwks_uri')
  return uri
}

/** The locations of OpenID Connect Discovery §4 and RFC 8414 §3. */
function metadataUrls(issuer: string): [openid: string, oauth: string] {
  const { origin, pathname } = new URL(issuer)
  const path = pathname.replace(/\/$/, '')
  return [
    `${origin}${path}/.well-known/openid-configuration`,
    `${origin}/.well-known/oauth-authorization-server${path}`,
  ]
}

function member(document: unknown, name: string): unknown {
  return new Map(Object.entries(document ?? {})).get(name)
}
