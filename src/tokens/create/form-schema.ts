import { type Static, Type } from 'typebox'
import { DateTime, IdentitySource, nullable, ref, ScopeDetail } from '../../http/schemas.ts'
import { catalogue, type ErrorCode } from '../../shared/errors.ts'
import { Policy } from '../../shared/policy.ts'
import { expandEndpoint } from '../../token-types/endpoint.ts'
import { offeredScopes } from '../../token-types/scope-details.ts'
import type { QuotaUsage as StoredUsage } from '../quota.ts'
import type { Eligibility } from './eligibility.ts'
import type { TokenOptions as Options } from './form-options.ts'
import { daysFrom } from './lifetime.ts'

const codes = Object.keys(catalogue) as ErrorCode[]

export const Creation = Type.Object(
  {
    allowed: Type.Boolean(),
    code: Type.Unsafe<ErrorCode | null>({
      type: ['string', 'null'],
      enum: [...codes, null],
      description: 'The code of the error that a create would fail with.',
      examples: ['creation_disabled'],
    }),
    reason: nullable.string({ description: 'The detail of that error.' }),
  },
  { $id: 'Creation', description: 'Whether a token could be created right now.' },
)

/** The user that a list or form is for. */
export const candidateQuery = {
  owner_identity_source: Type.Optional(
    IdentitySource({
      description:
        "The identity source of the owner, which decides `creation`. By default, that in the owner's record.",
    }),
  ),
}

export const OptionsQuery = Type.Object(
  {
    owner: Type.Optional(
      Type.String({ maxLength: 255, description: 'The subject of the user that the token would belong to.' }),
    ),
    ...candidateQuery,
  },
  { additionalProperties: false },
)

const TypeOption = Type.Object({
  name: Type.String({ examples: ['api'] }),
  description: nullable.string(),
  allowed_scopes: Type.Unsafe<string[] | null>({
    type: ['array', 'null'],
    items: { type: 'string' },
    description: 'Null: any.',
  }),
  default_scopes: Type.Array(Type.String(), { examples: [['read']] }),
  scopes_required: Type.Boolean(),
  scope_details: Type.Array(ref(ScopeDetail), {
    description:
      'The scopes to choose from: every allowed one, labelled with its own name if the type has no label for it. If any ' +
      'scope is allowed, those that the type has labels for.',
  }),
  audience: Type.Array(Type.String(), { examples: [['https://api.example']] }),
  endpoint: nullable.string({ description: 'The URL where its tokens are used.' }),
})

const Usage = Type.Object(
  { limit: Type.Integer(), active: Type.Integer(), left: Type.Integer() },
  {
    $id: 'Usage',
    description: 'The limit on active tokens, and how many there are. Counting stops at the limit.',
  },
)
const usage = { anyOf: [{ $ref: 'Usage#' }, { type: 'null' }] }

const { presets_days: _, ...lifetimeRules } = Policy.properties.lifetime.properties

export const TokenOptions = Type.Object(
  {
    creation: ref(Creation),
    types: Type.Array(TypeOption, { description: 'The types of token that can be created here.' }),
    lifetime: Type.Object({
      presets: Type.Array(Type.Object({ days: Type.Integer(), expires_at: DateTime() }), {
        description: 'Each with when a token created now would expire.',
      }),
      latest_expires_at: nullable.dateTime({ description: 'The longest lifetime. Null: no maximum.' }),
      ...lifetimeRules,
    }),
    name: Policy.properties.name,
    delete: Policy.properties.delete,
    limits: Type.Object({
      owner: Type.Unsafe<Static<typeof Usage> | null>({ ...usage, description: 'Null: no limit.' }),
      organization: Type.Unsafe<Static<typeof Usage> | null>({ ...usage, description: 'Null: no limit.' }),
    }),
  },
  { $id: 'TokenOptions', description: 'The options of a form for a new token.' },
)

export const OwnerRevocation = Type.Object(
  {
    revoked: Type.Integer({ description: 'How many tokens were revoked that were active or not valid yet.' }),
  },
  { $id: 'OwnerRevocation', description: "The result of revoking an owner's tokens." },
)

export const components = [Creation, Usage, TokenOptions, OwnerRevocation]

export function presentCreation({ refusal }: Eligibility): Static<typeof Creation> {
  return { allowed: !refusal, code: refusal?.code ?? null, reason: refusal?.message ?? null }
}

export function presentOptions(options: Options, now: Date): Static<typeof TokenOptions> {
  const { organization, policy, usages } = options
  const { presets_days, ...lifetime } = policy.lifetime
  const expiresAt = (days: number) => daysFrom(now, days).toISOString()
  return {
    creation: presentCreation(options),
    types: options.types.map((type) => ({
      name: type.name,
      description: type.description,
      allowed_scopes: type.allowedScopes,
      default_scopes: type.defaultScopes,
      scopes_required: type.needsScopes,
      scope_details: offeredScopes(type),
      audience: type.audience,
      endpoint: expandEndpoint(type.endpoint, organization.key),
    })),
    lifetime: {
      presets: presets_days.map((days) => ({ days, expires_at: expiresAt(days) })),
      latest_expires_at: lifetime.maximum_days === null ? null : expiresAt(lifetime.maximum_days),
      ...lifetime,
    },
    name: policy.name,
    delete: policy.delete,
    limits: { owner: presentUsage(usages.owner), organization: presentUsage(usages.organization) },
  }
}

function presentUsage(usage: StoredUsage | undefined): Static<typeof Usage> | null {
  return usage ? { ...usage, left: Math.max(0, usage.limit - usage.active) } : null
}
