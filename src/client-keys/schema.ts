import { type Static, Type } from 'typebox'
import type { ClientKeys as Row } from '../db/tables.ts'
import { Id, OrganizationParams, orNull } from '../http/schemas.ts'
import type { GivenKeys } from './client-keys.ts'

const text = (maxLength: number, options: object = {}) =>
  Type.Optional(Type.String({ maxLength, ...options }))

const members = {
  kty: Type.Enum(['OKP', 'EC', 'RSA'], { type: 'string' }),
  kid: text(255, {
    minLength: 1,
    description: 'Required if there are several keys.',
    examples: ['2026-03'],
  }),
  alg: text(20, { examples: ['EdDSA'] }),
  use: Type.Optional(Type.Literal('sig', { examples: ['sig'] })),
  crv: text(20, { examples: ['Ed25519'] }),
  x: text(100, { examples: ['11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo'] }),
  y: text(100, { description: 'For P-256 keys.' }),
  n: text(2000, { description: 'For RSA keys.' }),
  e: text(20, { description: 'For RSA keys.' }),
}

const jwksUri = {
  description: 'The URL of the keys, which are fetched on demand and cached for ten minutes.',
  examples: ['https://service.example/jwks.json'],
}

const example = {
  jwks: {
    keys: [
      {
        kty: 'OKP',
        crv: 'Ed25519',
        x: '11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo',
        kid: '2026-03',
        use: 'sig',
      },
    ],
  },
}

export const NewClientKeys = Type.Object(
  {
    jwks: orNull(
      Type.Object(
        {
          keys: Type.Array(Type.Object(members, { additionalProperties: true }), {
            minItems: 1,
            maxItems: 10,
          }),
        },
        {
          description:
            'Ed25519, P-256 or RSA public keys. Members that a public key does not need are dropped.',
        },
      ),
    ),
    jwks_uri: orNull(Type.String({ ...jwksUri, maxLength: 2000 })),
  },
  { $id: 'NewClientKeys', additionalProperties: false, examples: [example] },
)

export const ClientKeys = Type.Object(
  {
    jwks: Type.Optional(Type.Object({ keys: Type.Array(Type.Object(members)) })),
    jwks_uri: Type.Optional(Type.String(jwksUri)),
  },
  {
    $id: 'ClientKeys',
    description: 'The public keys of a client (RFC 7517 §5), or their URL.',
    examples: [example],
  },
)

export const TokenParams = Type.Object({ ...OrganizationParams.properties, token: Id })
export const components = [NewClientKeys, ClientKeys]

export function parseClientKeys({ jwks, jwks_uri }: Static<typeof NewClientKeys>): GivenKeys {
  return { jwks: jwks?.keys, jwksUri: jwks_uri ?? undefined }
}

export function presentClientKeys({ jwks, jwksUri }: Row): Static<typeof ClientKeys> {
  return { ...(jwks && { jwks }), ...(jwksUri !== null && { jwks_uri: jwksUri }) }
}
