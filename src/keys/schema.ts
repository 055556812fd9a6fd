import { type Static, Type } from 'typebox'
import { DateTime, nullable, ref } from '../http/schemas.ts'
import { keyStates, stateOf } from './keys.ts'
import { signingAlgs } from './sealed.ts'
import type { CountedKey } from './store.ts'

const keyMembers = {
  kid: Type.String({
    description: 'The thumbprint of the key (RFC 7638).',
    examples: ['NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs'],
  }),
  alg: Type.Enum([...signingAlgs], { type: 'string' }),
  state: Type.Enum([...keyStates], {
    type: 'string',
    description:
      'Upcoming: published, but does not sign yet. Active: signs. Retiring: published until its last token has expired.',
  }),
  live_tokens: Type.Integer({
    description:
      'How many tokens that it signed are neither expired nor revoked, among the at most 10,000 that are examined.',
    examples: [12],
  }),
  live_tokens_more: Type.Boolean({
    description: 'The key signed more tokens than are examined, so there may be more live ones.',
    examples: [false],
  }),
  created_at: DateTime(),
  activates_at: DateTime({ description: 'When it starts to sign.' }),
  retires_at: nullable.dateTime({
    description: 'When its successor takes over. Null: there is no successor yet.',
    examples: [null],
  }),
  retired_at: nullable.dateTime({
    description: 'When it was removed from the published keys.',
    examples: [null],
  }),
}

export const SigningKey = Type.Object(keyMembers, {
  $id: 'SigningKey',
  description: 'A key that signs JWTs, without its private part.',
})
export const SigningKeyList = Type.Object(
  { items: Type.Array(ref(SigningKey)) },
  { $id: 'SigningKeyList', description: 'All signing keys, in the order in which they sign.' },
)
export const RetiredKey = Type.Object(
  {
    ...keyMembers,
    tokens_affected: Type.Integer({
      description: 'How many tokens stop verifying. They still introspect as active.',
      examples: [12],
    }),
  },
  { $id: 'RetiredSigningKey', description: 'A signing key that is no longer published.' },
)

/** Optional. */
export const Rotation = Type.Unsafe<{ immediately?: boolean | null } | null>({
  $id: 'Rotation',
  type: ['object', 'null'],
  properties: {
    immediately: {
      type: ['boolean', 'null'],
      description:
        'For a leaked key: the next one signs at once, although verifiers may not have fetched it yet.',
    },
  },
  additionalProperties: false,
  examples: [{ immediately: true }],
})

export const KeyParams = Type.Object({
  kid: Type.String({
    pattern: '^[A-Za-z0-9_-]{43}$',
    'x-pattern-message': 'must be the 43 characters of a kid',
    examples: ['NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs'],
  }),
})

export const components = [SigningKey, SigningKeyList, RetiredKey, Rotation]

export function presentKey(key: CountedKey, now: Date): Static<typeof SigningKey> {
  return {
    kid: key.kid,
    alg: key.alg,
    state: stateOf(key, now),
    live_tokens: key.liveTokens,
    live_tokens_more: key.liveTokensMore,
    created_at: key.createdAt.toISOString(),
    activates_at: key.activatesAt.toISOString(),
    retires_at: key.retiresAt?.toISOString() ?? null,
    retired_at: key.retiredAt?.toISOString() ?? null,
  }
}
