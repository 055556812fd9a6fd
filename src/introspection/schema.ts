import { type Static, Type } from 'typebox'
import { type Credential, seconds } from '../access/credential.ts'
import { ref } from '../http/schemas.ts'
import { expandEndpoint } from '../token-types/endpoint.ts'

/** The form of RFC 7662 §2.1 and RFC 7009 §2.1. Other parameters are ignored (RFC 6749 §3.2). */
export const TokenForm = Type.Object(
  {
    token: Type.String({
      minLength: 1,
      maxLength: 8192,
      examples: ['api_0123456789abcdefghijABCDEFGHIJ2PElSk'],
    }),
    token_type_hint: Type.Optional(Type.String({ description: 'Accepted and ignored.' })),
    client_ip: Type.Optional(
      Type.String({
        description:
          'The address that the token was presented from. Required for tokens with `allowed_cidrs`, which are otherwise inactive. Ignored by `/revoke`.',
        examples: ['192.0.2.7'],
      }),
    ),
    client_assertion_type: Type.Optional(
      Type.String({
        description: 'Sent with `client_assertion` instead of the Authorization header (RFC 7521 §4.2).',
        examples: ['urn:ietf:params:oauth:client-assertion-type:jwt-bearer'],
      }),
    ),
    client_assertion: Type.Optional(
      Type.String({ description: 'A JWT that the caller signed with one of its client keys (RFC 7523 §3).' }),
    ),
    client_id: Type.Optional(
      Type.String({ description: 'The id of the calling token, as in the assertion. Optional.' }),
    ),
  },
  { $id: 'TokenForm', examples: [{ token: 'api_0123456789abcdefghijABCDEFGHIJ2PElSk' }] },
)

export const IntrospectionResponse = Type.Object(
  {
    active: Type.Boolean({ description: 'If false, it is the only member.' }),
    scope: Type.Optional(Type.String({ description: 'Scopes, separated by spaces.' })),
    client_id: Type.Optional(Type.String({ description: 'The id of the token.' })),
    username: Type.Optional(Type.String({ description: 'The e-mail address of the owner.' })),
    token_type: Type.Optional(Type.Literal('Bearer')),
    exp: Type.Optional(
      Type.Integer({
        description:
          'Seconds since 1970. For a secret that was rotated: the end of its overlap, if that is earlier.',
      }),
    ),
    iat: Type.Optional(Type.Integer()),
    nbf: Type.Optional(Type.Integer()),
    sub: Type.Optional(
      Type.String({ description: 'The subject of the owner, or the id of a service token.' }),
    ),
    aud: Type.Optional(Type.Array(Type.String())),
    iss: Type.Optional(Type.String()),
    jti: Type.Optional(
      Type.String({ description: 'The id of the secret: that of the token until the token is rotated.' }),
    ),
    organization: Type.Optional(Type.String({ description: 'The key of the organization.' })),
    type: Type.Optional(Type.String({ description: 'The token type.' })),
    token_name: Type.Optional(Type.String()),
    endpoint: Type.Optional(Type.String()),
  },
  {
    $id: 'IntrospectionResponse',
    description: 'The response of RFC 7662 §2.2 with the members that Counterfoil adds.',
    examples: [
      {
        active: true,
        scope: 'read',
        client_id: '019aa0c4-7c1e-7d43-9f53-0b8f1d2b3c4d',
        token_type: 'Bearer',
        exp: 1_803_902_400,
        iat: 1_772_366_400,
        sub: '019aa0c4-7c1e-7d43-9f53-0b8f1d2b3c4d',
        iss: 'https://tokens.example',
        jti: '019aa0c4-7c1e-7d43-9f53-0b8f1d2b3c4d',
        organization: 'default',
        type: 'api',
        token_name: 'Nightly report',
      },
      { active: false },
    ],
  },
)

/** Other members are ignored, as in the form. */
export const TokenBatch = Type.Object(
  {
    tokens: Type.Array(Type.String({ minLength: 1, maxLength: 8192 }), {
      minItems: 1,
      maxItems: 1000,
      examples: [['api_0123456789abcdefghijABCDEFGHIJ2PElSk']],
    }),
  },
  { $id: 'TokenBatch' },
)

export const IntrospectionResponses = Type.Object(
  { results: Type.Array(ref(IntrospectionResponse)) },
  { $id: 'IntrospectionResponses', description: 'One introspection response per token, in the same order.' },
)

export const components = [TokenForm, IntrospectionResponse]

export function presentCredential(
  credential: Credential | undefined,
  issuer: string,
): Static<typeof IntrospectionResponse> {
  if (!credential) return { active: false }
  const { tokenId, expiresAt, notBefore, organizationKey, audience } = credential
  const endpoint = expandEndpoint(credential.endpoint, organizationKey)
  return {
    active: true,
    scope: credential.scopes.join(' '),
    client_id: tokenId,
    ...(credential.ownerEmail !== null && { username: credential.ownerEmail }),
    token_type: 'Bearer',
    ...(expiresAt && { exp: seconds(expiresAt) }),
    iat: credential.issuedAt,
    ...(notBefore && { nbf: seconds(notBefore) }),
    sub: credential.ownerSubject ?? tokenId,
    ...(audience.length > 0 && { aud: audience }),
    iss: issuer,
    jti: credential.secretId,
    organization: organizationKey,
    type: credential.type,
    token_name: credential.name,
    ...(endpoint !== null && { endpoint }),
  }
}
