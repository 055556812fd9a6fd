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
      description: 'The lifetimes that forms offer, in days.',
      examples: [[182, 365, 548, 731]],
    }),
    minimum_days: Type.Integer({ ...days, description: 'The shortest lifetime. At least one day.' }),
    minimum_seconds: nullableInteger({
      minimum: 60,
      maximum: 86_399,
      description:
        'A shortest lifetime of less than a day, in place of `minimum_days`. Null: `minimum_days` holds.',
    }),
    maximum_days: nullableInteger({ ...days, description: 'The longest lifetime. Null: no maximum.' }),
    on_too_long: Type.Enum(['refuse', 'reduce'], {
      type: 'string',
      description:
        'Whether longer requests are reduced to the maximum, with a warning in the response, instead of rejected.',
    }),
    allow_no_expiry: Type.Boolean({ description: 'Whether tokens may never expire.' }),
    default_days: nullableInteger({
      ...days,
      description:
        'The lifetime of tokens created without one. Null: they never expire if that is allowed, otherwise a lifetime is required.',
    }),
  },
  closed,
)

const Name = Type.Object(
  {
    required: Type.Boolean({
      description: 'If not, a missing name is generated from the ends of the secret.',
    }),
    minimum_length: Type.Integer({ minimum: 1, maximum: 500, description: 'In characters.' }),
    unique: Type.Boolean({ description: 'Among all tokens of the organization, case-insensitively.' }),
  },
  closed,
)

const Limits = Type.Object(
  {
    active_per_owner: nullableInteger({
      minimum: 0,
      maximum: 1_000_000,
      description:
        'How many tokens that are neither expired nor revoked an owner may have. Service tokens have no owner. Null: no limit.',
    }),
    active_per_organization: nullableInteger({
      minimum: 0,
      maximum: 1_000_000,
      description:
        'How many tokens that are neither expired nor revoked the organization may have. Null: no limit.',
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
  {
    confirm_name: Type.Boolean({
      description: 'Whether deleting a token requires its name as confirmation.',
    }),
  },
  closed,
)

const AllowedTypes = Type.Unsafe<string[] | null>({
  type: ['array', 'null'],
  items: { type: 'string', maxLength: 50 },
  maxItems: 100,
  uniqueItems: true,
  description: 'The types that new tokens may have, besides `management`. Null: all.',
  examples: [['scim', 'mcp']],
})

const ExpiryWarning = Type.Object(
  {
    warning_days: Type.Integer({
      minimum: 0,
      maximum: 365,
      description: 'With less time left, the status is `warning`.',
    }),
    imminent_hours: Type.Integer({
      minimum: 0,
      maximum: 8_760,
      description: 'With less time left, the status is `imminent`.',
    }),
  },
  closed,
)

const OnLeak = Type.Enum(['notify', 'revoke', 'rotate'], {
  type: 'string',
  description:
    'What happens when a secret is reported as leaked: `notify` writes an entry to the change log, `revoke` also ' +
    'revokes the token. With `rotate`, the token gets a new secret and the leaked one stays good for the default ' +
    'overlap: rotate the token again to see its secret.',
})

const seconds = { minimum: 0, maximum: 366 * 24 * 60 * 60 }

const Rotation = Type.Object(
  {
    default_overlap_seconds: Type.Integer({
      ...seconds,
      description: 'How long the previous secret stays good after a rotation without `overlap_seconds`.',
    }),
    maximum_overlap_seconds: Type.Integer({ ...seconds, description: 'The longest overlap.' }),
    first_use_within_days: Type.Integer({
      minimum: 1,
      maximum: 365,
      description: 'After how long a rotation with `activation: first_use` lapses if its secret is not used.',
    }),
    every_days: nullableInteger({
      ...days,
      description: 'How old a secret may become before it is due for rotation. Null: it never is.',
    }),
    keep_superseded_days: Type.Integer({
      minimum: 1,
      maximum: 3_650,
      description: 'How long the hash of a superseded secret is kept to recognize its reuse.',
    }),
    on_superseded_use: Type.Enum(['ignore', 'notify', 'revoke'], {
      type: 'string',
      description:
        'What happens when a superseded secret is presented although its successor is in use: `notify` writes an ' +
        'entry to the change log, `revoke` also revokes the token.',
    }),
  },
  closed,
)

const Address = Type.String({ format: 'idn-email', maxLength: 320 })

const Notifications = Type.Object(
  {
    expiry_days: Type.Array(Type.Integer({ minimum: 1, maximum: 365 }), {
      maxItems: 10,
      uniqueItems: true,
      description: 'How many days before a token expires webhooks and mail announce it.',
      examples: [[30, 7, 1]],
    }),
    mail_owners: Type.Boolean({
      description: 'Whether owners with an e-mail address get mail about their tokens.',
    }),
    mail_to: Type.Array(Address, {
      maxItems: 20,
      uniqueItems: true,
      description: 'Further recipients of mail, about all tokens and webhooks of the organization.',
      examples: [['platform-team@example.com']],
    }),
  },
  closed,
)

const Scim = Type.Object(
  {
    subject: Type.Enum(['user_name', 'external_id'], {
      type: 'string',
      description: 'Which attribute of a SCIM user is the subject of the owner: `userName` or `externalId`.',
    }),
  },
  closed,
)

/** Every rule: the single definition of the contents of a policy. */
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
    rotation: Rotation,
    on_leak: OnLeak,
    notifications: Notifications,
    scim: Scim,
  },
  { $id: 'Policy', ...closed, description: 'The rules of an organization for its tokens.' },
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
    rotation: Type.Optional(Type.Partial(Rotation, closed)),
    on_leak: Type.Optional(OnLeak),
    notifications: Type.Optional(Type.Partial(Notifications, closed)),
    scim: Type.Optional(Type.Partial(Scim, closed)),
  },
  {
    $id: 'PolicyDocument',
    ...closed,
    description: "An organization's own rules. The platform's values apply to everything that is left out.",
  },
)

export type Policy = Static<typeof Policy>
export type PolicyDocument = Static<typeof PolicyDocument>

/** The shortest lifetime that the policy allows, with the rule that says so. */
export function shortestLifetime({ minimum_days, minimum_seconds }: Policy['lifetime']) {
  return minimum_seconds === null
    ? { seconds: minimum_days * 86_400, rule: 'lifetime.minimum_days' }
    : { seconds: minimum_seconds, rule: 'lifetime.minimum_seconds' }
}
