import { Type } from 'typebox'
import { notBlank } from '../http/messages.ts'
import { identityFields } from './identity.ts'

const scopeToken = '[\\x21\\x23-\\x5B\\x5D-\\x7E]+'

/** The requirement, in the URL that a gateway is configured with. */
export const VerifyQuery = Type.Object(
  {
    scope: Type.Optional(
      Type.String({
        maxLength: 2000,
        pattern: `^${scopeToken}( ${scopeToken})*$`,
        'x-pattern-message': 'must be scopes separated by single spaces',
        description: 'Scopes, separated by spaces; the token needs all of them.',
        examples: ['read'],
      }),
    ),
    audience: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 500,
        description: 'The token must have this audience.',
        examples: ['https://api.example'],
      }),
    ),
    type: Type.Optional(
      Type.String({
        ...notBlank,
        maxLength: 2000,
        description: 'Token types, separated by spaces; the token must have one of them.',
        examples: ['api'],
      }),
    ),
    organization: Type.Optional(
      Type.String({
        ...notBlank,
        maxLength: 2000,
        description: 'Keys of organizations, separated by spaces; the token must belong to one of them.',
        examples: ['default'],
      }),
    ),
  },
  { additionalProperties: false },
)

const headers = Object.fromEntries(
  Object.entries(identityFields).map(([name, description]) => [name, { type: 'string', description }]),
)

/** Fastify serializes by the type; the headers are for the OpenAPI document. */
export const Verified = Type.Unsafe<undefined>({
  type: 'null',
  description: 'Let the request through',
  headers,
})
