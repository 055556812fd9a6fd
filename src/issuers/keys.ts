import type { JWTVerifyGetKey } from 'jose'
import type { TrustedIssuer } from '../db/tables.ts'
import type { Outbound } from '../outbound/outbound.ts'
import { createBulkhead } from './bulkhead.ts'
import { createMetadata } from './metadata.ts'

/** The keys of registered issuers, fetched on demand and cached. */
export function createKeys(outbound: Outbound): (registration: TrustedIssuer) => JWTVerifyGetKey {
  const jwksUriOf = createMetadata(outbound)
  const wait = createBulkhead()
  return ({ organizationId, issuer, jwksUri }) =>
    (header, token) =>
      wait(organizationId, async () => {
        const uri = jwksUri ?? (await jwksUriOf(issuer, organizationId))
        return outbound.jwks(uri, organizationId)(header, token)
      })
}
