import { type Static, Type } from 'typebox'
import type { AskedOwner } from '../../access/credential.ts'
import { nameForm } from '../../http/messages.ts'
import { Audience, IdentitySource, nullable, orNull, Scopes, Subject } from '../../http/schemas.ts'
import { plainNetwork } from '../../shared/addresses.ts'
import { AppError, invalidValue, type Refusals } from '../../shared/errors.ts'
import { plainName } from '../../shared/text.ts'
import type { AskedToken } from './create.ts'
import { type AskedExpiry, daysFrom } from './lifetime.ts'

const nameRules = { minLength: 1, maxLength: 1000, ...nameForm, examples: ['Okta SCIM connector'] }

export const Name = Type.String({
  ...nameRules,
  description: 'Stored without surrounding spaces, and in Unicode NFC.',
})
export const Comment = nullable.string({
  maxLength: 100_000,
  format: 'text',
  examples: ['Asked for in CHG-1042 by the identity team'],
})

export const ownerMembers = {
  subject: Subject,
  identity_source: IdentitySource(),
}

const MetadataValue = Type.Unsafe<string | number | boolean | null>({
  type: ['string', 'number', 'boolean', 'null'],
  maxLength: 500,
})

export const Metadata = Type.Record(Type.String({ minLength: 1, maxLength: 64 }), MetadataValue, {
  maxProperties: 50,
  description: 'For your own use; Counterfoil does not interpret it.',
  examples: [{ team: 'identity' }],
})

export const AllowedCidrs = Type.Unsafe<string[] | null>({
  type: ['array', 'null'],
  items: { type: 'string', minLength: 1, maxLength: 49 },
  minItems: 1,
  maxItems: 50,
  description: 'The only networks (in CIDR notation) or addresses from which it is good. Null: anywhere.',
  examples: [['192.0.2.0/24', '2001:db8::/32']],
})

const narrowedNames = { minItems: 1, maxItems: 100, uniqueItems: true }

export const NarrowedTo = Type.Object(
  {
    organizations: Type.Optional(
      Type.Array(Type.String({ minLength: 1, maxLength: 64, examples: ['default'] }), {
        ...narrowedNames,
        description: 'Keys of organizations; only for tokens of the platform organization.',
      }),
    ),
    audience: Type.Optional(
      Type.Array(Type.String({ minLength: 1, maxLength: 500, examples: ['https://api.example'] }), {
        ...narrowedNames,
        description: 'A token must have at least one of these.',
      }),
    ),
    types: Type.Optional(
      Type.Array(Type.String({ minLength: 1, maxLength: 50, examples: ['api'] }), narrowedNames),
    ),
  },
  {
    $id: 'NarrowedTo',
    additionalProperties: false,
    minProperties: 1,
    description:
      'Which of the tokens that it reaches a resource server sees; all others appear inactive to it.',
  },
)

const NewOwner = Type.Object(
  {
    subject: ownerMembers.subject,
    identity_source: orNull(IdentitySource(), {
      description:
        'The identity source of the user. Left out: that in the record of the owner, else `internal`; required for an ' +
        'unknown owner if the policy does not allow new tokens for single sign-on users.',
    }),
    email: Type.Optional(
      nullable.string({ format: 'idn-email', maxLength: 320, examples: ['ada@example.com'] }),
    ),
  },
  { additionalProperties: false },
)

/** Missing or null: the default of the policy or, for a rotation, the token's own expiry. */
export const expiryMembers = {
  lifetime_days: orNull(Type.Integer({ minimum: 1, maximum: 36_525 }), {
    description:
      'Days from now. Give at most one of `lifetime_days`, `lifetime_seconds`, `expires_at` and `never_expires`.',
  }),
  lifetime_seconds: orNull(Type.Integer({ minimum: 60, maximum: 36_525 * 86_400 }), {
    description:
      'Seconds from now; less than a day only if the policy allows it (`lifetime.minimum_seconds`).',
  }),
  expires_at: Type.Optional(
    nullable.dateTime({
      description: 'When the token stops being good; at least a day ahead, unless the policy allows less.',
    }),
  ),
  never_expires: orNull(Type.Boolean(), {
    description: 'True: the token never expires, even if the policy has another default.',
  }),
}

type ExpiryMembers = Pick<Static<typeof NewToken>, keyof typeof expiryMembers>

export const NewToken = Type.Object(
  {
    name: orNull(Name, {
      description:
        'Optional if the policy allows generated names. Stored without surrounding spaces, and in Unicode NFC.',
    }),
    type: orNull(Type.String({ maxLength: 50, examples: ['api'] }), {
      description:
        'The name of a token type. Optional if only one can be created, not counting `management`.',
    }),
    comment: Type.Optional(Comment),
    owner: orNull(NewOwner, { description: 'If missing, the token belongs to a service.' }),
    scopes: orNull(Scopes, {
      description: 'Defaults to the default scopes of the type. An empty array means none.',
      examples: [['read']],
    }),
    audience: orNull(Audience, {
      description: 'Defaults to the audience of the type. An empty array means none.',
    }),
    metadata: orNull(Metadata),
    allowed_cidrs: Type.Optional(AllowedCidrs),
    narrowed_to: Type.Optional(
      Type.Unsafe<Static<typeof NarrowedTo> | null>({
        anyOf: [{ $ref: 'NarrowedTo#' }, { type: 'null' }],
        description:
          'For management tokens with `tokens:introspect`. Null: it sees all tokens that it reaches.',
      }),
    ),
    not_before: Type.Optional(nullable.dateTime({ description: 'When the token becomes good.' })),
    ...expiryMembers,
  },
  {
    $id: 'NewToken',
    additionalProperties: false,
    description: 'An optional member that is null or `""` counts as left out.',
    examples: [
      { name: 'Okta SCIM connector', type: 'scim', lifetime_days: 365 },
      {
        name: 'Nightly report',
        type: 'api',
        comment: 'Asked for in CHG-1042 by the identity team',
        owner: { subject: 'u-4711', identity_source: 'sso', email: 'ada@example.com' },
        scopes: ['read'],
        audience: ['https://reports.example'],
        metadata: { team: 'identity' },
        expires_at: '2100-01-01T00:00:00Z',
      },
    ],
  },
)

export function parseNewToken(body: Static<typeof NewToken>, now: Date): AskedToken {
  const { owner } = body
  return {
    name: body.name ? plainName(body.name) : undefined,
    type: body.type ?? undefined,
    comment: body.comment?.normalize('NFC') ?? null,
    owner: owner ? parseOwner(owner) : null,
    scopes: body.scopes ?? undefined,
    audience: body.audience ?? undefined,
    metadata: body.metadata ?? {},
    allowedCidrs: body.allowed_cidrs ? parseNetworks(body.allowed_cidrs) : null,
    narrowedTo: body.narrowed_to ?? null,
    notBefore: body.not_before ? new Date(body.not_before) : null,
    expiry: askedExpiry(body, now),
  }
}

function parseOwner({ subject, email, identity_source: source }: Static<typeof NewOwner>): AskedOwner {
  return { subject, email: email?.normalize('NFC') ?? null, source: source ?? undefined }
}

export function askedExpiry(body: ExpiryMembers, now: Date): AskedExpiry | undefined {
  const asked: AskedExpiry[] = []
  if (body.lifetime_days) asked.push({ at: daysFrom(now, body.lifetime_days), field: 'lifetime_days' })
  if (body.lifetime_seconds)
    asked.push({ at: new Date(now.getTime() + body.lifetime_seconds * 1000), field: 'lifetime_seconds' })
  if (body.expires_at) asked.push({ at: new Date(body.expires_at), field: 'expires_at' })
  if (body.never_expires) asked.push({ at: null, field: 'never_expires' })
  const [first, second] = asked
  if (first && second) throw invalidValue(second.field, `cannot be given together with ${first.field}`)
  return first
}

/**
 * As far as the body can be parsed: members that `invalid` names, or that are rejected here, are left out, and
 * `refusals` has the reasons.
 */
export function parseForPreview(
  body: Static<typeof NewToken>,
  invalid: string[],
  now: Date,
  refusals: Refusals,
): AskedToken {
  let rest = without(body, invalid)
  for (;;) {
    try {
      return parseNewToken(rest, now)
    } catch (error) {
      if (!(error instanceof AppError) || !error.fields) throw error
      refusals.add(error)
      rest = without(
        rest,
        error.fields.map(({ field }) => field),
      )
    }
  }
}

function without(body: Static<typeof NewToken>, fields: string[]): Static<typeof NewToken> {
  const names = new Set(fields.map((field) => field.split('.')[0]))
  return Object.fromEntries(Object.entries(body).filter(([name]) => !names.has(name)))
}

export const CreationQuery = Type.Object(
  {
    dry_run: Type.Boolean({
      default: false,
      description:
        'Only report the result, for a form: nothing is stored, logged, counted or locked, and an Idempotency-Key has ' +
        'no effect. The response is 200, or one error that names everything that is wrong.',
    }),
  },
  { additionalProperties: false },
)

/** The networks in `allowed_cidrs`, in canonical form and without duplicates. */
export function parseNetworks(items: string[]): string[] {
  const networks = items.map((item) => {
    const network = plainNetwork(item)
    if (network === undefined)
      throw invalidValue('allowed_cidrs', `has ${item}, which is not an IPv4 or IPv6 network`)
    return network
  })
  return [...new Set(networks)]
}
