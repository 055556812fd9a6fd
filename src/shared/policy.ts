import { type Static, Type } from 'typebox'

const days = { minimum: 1, maximum: 36_525 }
const closed = { additionalProperties: false }

function nullableInteger(options: { minimum: number; maximum: number; description: string }) {
  return Type.Unsafe<number | null>({ type: ['integer', 'null'], ...options })
}

const Lifetime = Type.Object(
  {
    presets_days: Type.Array(Type.Integer(days), {
      maxItems: 20,
      uniqueItems: true,
      description: 'What a form offers, in days.',
      examples: [[182, 365, 548, 731]],
    }),
    minimum_days: Type.Integer({ ...days, description: 'No token lives shorter. At least one day.' }),
    maximum_days: nullableInteger({ ...days, description: 'No token lives longer. Null: no maximum.' }),
    on_too_long: Type.Enum(['refuse', 'reduce'], {
      type: 'string',
      description: 'Reduced to the maximum, the answer has a warning that says so.',
    }),
    allow_no_expiry: Type.Boolean({ description: 'Whether tokens may live for ever.' }),
    default_days: nullableInteger({
      ...days,
      description:
        'For a token that names no lifetime. Null: for ever where that is allowed, else it has to.',
    }),
  },
  closed,
)

const Name = Type.Object(
  {
    required: Type.Boolean({ description: 'Where it is not, a name is made from the ends of the secret.' }),
    minimum_length: Type.Integer({ minimum: 1, maximum: 500, description: 'In characters.' }),
    unique: Type.Boolean({ description: 'Among all tokens of the organization, in any case.' }),
  },
  closed,
)

const Limits = Type.Object(
  {
    active_per_owner: nullableInteger({
      minimum: 0,
      maximum: 1_000_000,
      description: 'Neither expired nor revoked; tokens of services are not counted. Null: no limit.',
    }),
    active_per_organization: nullableInteger({
      minimum: 0,
      maximum: 1_000_000,
      description: 'Neither expired nor revoked. Null: no limit.',
    }),
  },
  closed,
)

const ScopeRules = Type.Object(
  { required: Type.Boolean({ description: 'Whether a token needs at least one scope.' }) },
  closed,
)

const Creation = Type.Object(
  {
    sso_users: Type.Boolean({
      description: 'Whether tokens can be created for users of identity source `sso`.',
    }),
  },
  closed,
)

const Deletion = Type.Object(
  { confirm_name: Type.Boolean({ description: 'Whether a delete has to repeat the name of the token.' }) },
  closed,
)

const AllowedTypes = Type.Unsafe<string[] | null>({
  type: ['array', 'null'],
  items: { type: 'string', maxLength: 50 },
  maxItems: 100,
  uniqueItems: true,
  description: 'The token types that can be created, besides `management`. Null: all.',
  examples: [['scim', 'mcp']],
})

const ExpiryWarning = Type.Object(
  {
    warning_days: Type.Integer({ minimum: 0, maximum: 365, description: 'With less left: `warning`.' }),
    imminent_hours: Type.Integer({ minimum: 0, maximum: 8_760, description: 'With less left: `imminent`.' }),
  },
  closed,
)

/** Every rule there is: the single definition of what a policy can contain. */
export const Policy = Type.Object(
  {
    lifetime: Lifetime,
    name: Name,
    limits: Limits,
    scopes: ScopeRules,
    creation: Creation,
    delete: Deletion,
    allowed_types: AllowedTypes,
    expiry_warning: ExpiryWarning,
  },
  { $id: 'Policy', ...closed, description: 'What an organization allows its tokens to be.' },
)

/** An organization's own policy: any subset of a policy. */
export const PolicyDocument = Type.Object(
  {
    lifetime: Type.Optional(Type.Partial(Lifetime, closed)),
    name: Type.Optional(Type.Partial(Name, closed)),
    limits: Type.Optional(Type.Partial(Limits, closed)),
    scopes: Type.Optional(Type.Partial(ScopeRules, closed)),
    creation: Type.Optional(Type.Partial(Creation, closed)),
    delete: Type.Optional(Type.Partial(Deletion, closed)),
    allowed_types: Type.Optional(AllowedTypes),
    expiry_warning: Type.Optional(Type.Partial(ExpiryWarning, closed)),
  },
  { $id: 'PolicyDocument', ...closed, description: 'What is left out is as the platform has it.' },
)

export type Policy = Static<typeof Policy>
export type PolicyDocument = Static<typeof PolicyDocument>
