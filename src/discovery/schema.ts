import { type Static, Type } from 'typebox'
import { assertionAlgs } from '../client-keys/public-keys.ts'
import type { PublicJwk } from '../db/tables.ts'

const Jwk = Type.Object({
  kty: Type.String({ examples: ['OKP'] }),
  kid: Type.String({ examples: ['NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs'] }),
  alg: Type.String({ examples: ['EdDSA'] }),
  use: Type.Literal('sig', { examples: ['sig'] }),
  crv: Type.Optional(Type.String({ examples: ['Ed25519'] })),
  x: Type.Optional(Type.String({ examples: ['11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo'] })),
  y: Type.Optional(Type.String({ description: 'For ES256 keys.' })),
  n: Type.Optional(Type.String({ description: 'For RS256 keys.' })),
  e: Type.Optional(Type.String({ description: 'For RS256 keys.' })),
})

export const JwkSet = Type.Object(
  { keys: Type.Array(Jwk) },
  { $id: 'JwkSet', description: 'A JWK Set (RFC 7517 §5).' },
)

export const ServerMetadata = Type.Object(
  {
    issuer: Type.String({ examples: ['https://tokens.example'] }),
    jwks_uri: Type.String({ examples: ['https://tokens.example/.well-known/jwks.json'] }),
    response_types_supported: Type.Array(Type.String(), { examples: [[]] }),
    grant_types_supported: Type.Array(Type.String(), { examples: [[]] }),
    service_documentation: Type.String({ examples: ['https://tokens.example/docs'] }),
    introspection_endpoint: Type.String({ examples: ['https://tokens.example/introspect'] }),
    introspection_endpoint_auth_methods_supported: Type.Array(Type.String(), {
      examples: [['client_secret_basic', 'Bearer', 'private_key_jwt']],
    }),
    introspection_endpoint_auth_signing_alg_values_supported: Type.Array(Type.String(), {
      examples: [['EdDSA', 'ES256']],
    }),
    introspection_signing_alg_values_supported: Type.Optional(
      Type.Array(Type.String(), { examples: [['EdDSA']] }),
    ),
    revocation_endpoint: Type.String({ examples: ['https://tokens.example/revoke'] }),
    revocation_endpoint_auth_methods_supported: Type.Array(Type.String(), {
      examples: [['client_secret_basic', 'private_key_jwt']],
    }),
    revocation_endpoint_auth_signing_alg_values_supported: Type.Array(Type.String(), {
      examples: [['EdDSA', 'ES256']],
    }),
  },
  { $id: 'ServerMetadata', description: 'Authorization server metadata (RFC 8414 §2).' },
)

export const components = [JwkSet, ServerMetadata]

export const IfNoneMatch = Type.Object({
  'if-none-match': Type.Optional(
    Type.String({ description: 'Answer with 304 if this is still its ETag.', examples: ['"abc"'] }),
  ),
})

/** Lists each member explicitly, so that private ones can never be shown. */
export function presentJwk({ kty, kid, alg, use, crv, x, y, n, e }: PublicJwk): Static<typeof Jwk> {
  return {
    kty: kty ?? '',
    kid,
    alg,
    use,
    ...(crv !== undefined && { crv }),
    ...(x !== undefined && { x }),
    ...(y !== undefined && { y }),
    ...(n !== undefined && { n }),
    ...(e !== undefined && { e }),
  }
}

/** Lists only what exists. `signingAlgs` are the algorithms of current and upcoming signing keys. */
export function presentMetadata(issuer: string, signingAlgs: string[]): Static<typeof ServerMetadata> {
  return {
    issuer,
    jwks_uri: `${issuer}/.well-known/jwks.json`,
    // RFC 8414 §2 requires the first, and defaults the second to authorization code and implicit; we support no grants.
    response_types_supported: [],
    grant_types_supported: [],
    service_documentation: `${issuer}/docs`,
    introspection_endpoint: `${issuer}/introspect`,
    introspection_endpoint_auth_methods_supported: ['client_secret_basic', 'Bearer', 'private_key_jwt'],
    introspection_endpoint_auth_signing_alg_values_supported: assertionAlgs,
    ...(signingAlgs.length > 0 && { introspection_signing_alg_values_supported: signingAlgs }),
    revocation_endpoint: `${issuer}/revoke`,
    revocation_endpoint_auth_methods_supported: ['client_secret_basic', 'private_key_jwt'],
    revocation_endpoint_auth_signing_alg_values_supported: assertionAlgs,
  }
}
