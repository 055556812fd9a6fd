import { type Static, Type } from 'typebox'
import { IdempotencyHeader } from '../../http/idempotency-key.ts'
import { DateTime, Id, IfMatch, nullable, orNull, ref } from '../../http/schemas.ts'
import { askedExpiry, expiryMembers } from '../create/schema.ts'
import { IssuedToken, presentIssued } from '../schema.ts'
import type { Rotation as ParsedRotation, Rotated } from './rotate.ts'
import { mostSupersededShown, type TokenSecret as Secret, secretStatuses } from './secrets.ts'

const RotationMembers = Type.Object(
  {
    overlap_seconds: orNull(Type.Integer({ minimum: 0, maximum: 31_622_400 }), {
      description:
        'How long the previous secret stays good; left out: the default of the policy. 0 if it has leaked: it ends at once.',
    }),
    activation: orNull(Type.Enum(['now', 'first_use'], { type: 'string' }), {
      description:
        'With `first_use` the overlap begins when the new secret is first presented, and the rotation lapses if it never is. Left out: `now`.',
    }),
    ...expiryMembers,
  },
  { additionalProperties: false },
)
type Body = Static<typeof RotationMembers> | null

/** For optional bodies. */
export const TokenRotation = Type.Unsafe<Body>({
  ...RotationMembers,
  $id: 'TokenRotation',
  type: ['object', 'null'],
  description:
    'The overlap, and a new expiry within the policy: left out, the expiry does not change. Null members count as left out.',
  examples: [{ overlap_seconds: 3600 }, { activation: 'first_use' }],
})

export const RotationHeaders = Type.Object({ ...IdempotencyHeader.properties, ...IfMatch.properties })

export const TokenSecret = Type.Object(
  {
    id: { ...Id, description: 'The `jti` of introspection and of JWTs.' },
    status: Type.Enum([...secretStatuses], {
      type: 'string',
      description:
        '`pending`: waits for its first use. `overlapping`: superseded, but good until `valid_until`. `superseded`: no longer good.',
    }),
    hint: Type.String({ description: 'Its start and end.', examples: ['api_0123…ElSk'] }),
    created_at: DateTime(),
    superseded_at: nullable.dateTime({ description: 'When its successor became the current secret.' }),
    valid_until: nullable.dateTime({ description: 'When its overlap ends or ended.' }),
    lapses_at: nullable.dateTime({ description: 'When a pending secret lapses if it is not used.' }),
    first_used_at: nullable.dateTime({
      description: 'Null: never used, or first used before this was recorded.',
    }),
    last_used_at: nullable.dateTime(),
    last_used_ip: nullable.string(),
    use_count: Type.Integer({ description: 'How often it was used, up to a second ago.' }),
    reused_at: nullable.dateTime({
      description:
        'When it was recorded that it was presented after its end, while its successor was in use.',
    }),
    reused_ip: nullable.string(),
  },
  { $id: 'TokenSecret', description: 'A secret of a token, without the secret itself.' },
)

export const TokenSecretList = Type.Object(
  { items: Type.Array(ref(TokenSecret)) },
  {
    $id: 'TokenSecretList',
    description: `The newest first; of those that were superseded, the newest ${mostSupersededShown}.`,
  },
)

export const RotatedToken = Type.Object(
  {
    ...IssuedToken.properties,
    secrets: Type.Array(ref(TokenSecret), {
      description: 'The secrets that are good or wait for their first use, the newest first.',
    }),
  },
  {
    $id: 'RotatedToken',
    description:
      'The token with its new secret. `hint` belongs to the current secret, which with `first_use` is still the previous one.',
  },
)

export const components = [TokenRotation, TokenSecret, TokenSecretList, RotatedToken]

export function parseRotation(body: Body, now: Date): ParsedRotation {
  const { overlap_seconds, activation, ...expiry } = body ?? {}
  return {
    overlapSeconds: overlap_seconds ?? undefined,
    activation: activation ?? 'now',
    expiry: askedExpiry(expiry, now),
  }
}

export function presentRotated(rotated: Rotated, now: Date): Static<typeof RotatedToken> {
  return { ...presentIssued(rotated, now), secrets: rotated.secrets.map(presentSecret) }
}

export function presentSecret(secret: Secret): Static<typeof TokenSecret> {
  return {
    id: secret.id,
    status: secret.status,
    hint: secret.hint,
    created_at: secret.createdAt.toISOString(),
    superseded_at: secret.supersededAt?.toISOString() ?? null,
    valid_until: secret.validUntil?.toISOString() ?? null,
    lapses_at: secret.lapsesAt?.toISOString() ?? null,
    first_used_at: secret.firstUsedAt?.toISOString() ?? null,
    last_used_at: secret.lastUsedAt?.toISOString() ?? null,
    last_used_ip: secret.lastUsedIp,
    use_count: secret.useCount,
    reused_at: secret.reusedAt?.toISOString() ?? null,
    reused_ip: secret.reusedIp,
  }
}
