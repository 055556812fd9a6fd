import { LRUCache } from 'lru-cache'
import { OutboundError, TooManyCallsError } from '../outbound/error.ts'
import type { Outbound } from '../outbound/outbound.ts'
import { cooldownMs, maxAgeMs } from '../outbound/remote-jwks.ts'

/** The number of issuers in the cache. */
const capacity = 1000

/** The part of an issuer's metadata that is used here (OpenID Connect Discovery §3, RFC 8414 §2). */
export type Metadata = {
  issuer: string
  jwks_uri: string
  authorization_endpoint?: string
  token_endpoint?: string
  token_endpoint_auth_methods_supported?: string[]
  userinfo_endpoint?: string
  end_session_endpoint?: string
  id_token_signing_alg_values_supported?: string[]
  authorization_response_iss_parameter_supported?: boolean
}

const isText = (value: unknown) => typeof value === 'string'
const isList = (value: unknown) => Array.isArray(value) && value.every(isText)
const isFlag = (value: unknown) => typeof value === 'boolean'

const optional: [name: keyof Metadata, isFit: (value: unknown) => boolean][] = [
  ['authorization_endpoint', isText],
  ['token_endpoint', isText],
  ['token_endpoint_auth_methods_supported', isList],
  ['userinfo_endpoint', isText],
  ['end_session_endpoint', isText],
  ['id_token_signing_alg_values_supported', isList],
  ['authorization_response_iss_parameter_supported', isFlag],
]

/** Finds the metadata of an issuer, and caches it; failures are cached briefly. */
export function createMetadata({ fetchJson }: Pick<Outbound, 'fetchJson'>) {
  const known = new LRUCache<string, Promise<Metadata>>({ max: capacity, ttl: maxAgeMs })
  return (issuer: string, organizationId: string): Promise<Metadata> => {
    const name = `${organizationId} ${issuer}`
    const before = known.get(name)
    if (before) return before
    const asked = metadataOf(issuer, (url) => fetchJson(url, organizationId))
    known.set(name, asked)
    asked.catch((error) => {
      if (error instanceof TooManyCallsError) known.delete(name)
      else known.set(name, asked, { ttl: cooldownMs })
    })
    return asked
  }
}

async function metadataOf(issuer: string, fetchJson: (url: string) => Promise<unknown>): Promise<Metadata> {
  const [openid, oauth] = metadataUrls(issuer)
  const metadata = await fetchJson(openid).catch(() => fetchJson(oauth))
  // Keeps an issuer from presenting another issuer's metadata as its own, and the reverse.
  if (member(metadata, 'issuer') !== issuer) throw new OutboundError("is not this issuer's metadata")
  const uri = member(metadata, 'jwks_uri')
  if (typeof uri !== 'string') throw new OutboundError('has no usable jwks_uri')
  const fit = optional.flatMap(([name, isFit]) => {
    const value = member(metadata, name)
    return isFit(value) ? [[name, value]] : []
  })
  return { issuer, jwks_uri: uri, ...Object.fromEntries(fit) }
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
