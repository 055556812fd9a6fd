import { type Static, Type } from 'typebox'
import { notBlank } from '../../http/messages.ts'
import { Audience, IdentitySource, nullable, Scopes, Subject } from '../../http/schemas.ts'
import { invalidValue } from '../../shared/errors.ts'
import { parseNetworks } from '../networks.ts'
import type { NewToken as ParsedToken } from './decide.ts'
import { type AskedExpiry, daysFrom } from './lifetime.ts'

export const Name = Type.String({
  minLength: 1,
  maxLength: 500,
  ...notBlank,
  examples: ['Okta SCIM connector'],
})
export const Comment = nullable.string({
  maxLength: 10_000,
  examples: ['Asked for in CHG-1042 by the identity team'],
})

export const ownerMembers = {
  subject: Subject,
  identity_source: IdentitySource(),
}

export const Metadata = Type.Record(
  Type.String({ minLength: 1, maxLength: 64 }),
  Type.Unsafe<string | number | boolean | null>({
    type: ['string', 'number', 'boolean', 'null'],
    maxLength: 500,
  }),
  {
    maxProperties: 50,
    description: 'For your own use; Counterfoil does not interpret it.',
    examples: [{ team: 'identity' }],
  },
)

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
      Type.Array(Type.String({ minLength: 1, maxLength: 36, examples: ['default'] }), {
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

export const NewToken = Type.Object(
  {
    name: Type.Optional({ ...Name, description: 'Optional if the policy allows generated names.' }),
    type: Type.String({ maxLength: 50, description: 'The name of a token type.', examples: ['api'] }),
    comment: Type.Optional(Comment),
    owner: Type.Optional(
      Type.Object(
        {
          subject: ownerMembers.subject,
          identity_source: Type.Optional(
            IdentitySource({
              description:
                'Where the user comes from. Left out: as the record of the owner says, else `internal`; required for an ' +
                'unknown owner if the policy does not allow new tokens for single sign-on users.',
            }),
          ),
          email: Type.Optional(nullable.string({ format: 'email', maxLength: 320 })),
        },
        { additionalProperties: false, description: 'If missing, the token belongs to a service.' },
      ),
    ),
    scopes: Type.Optional({
      ...Scopes,
      description: 'Defaults to the default scopes of the type.',
      examples: [['read']],
    }),
    audience: Type.Optional({ ...Audience, description: 'Defaults to the audience of the type.' }),
    metadata: Type.Optional(Metadata),
    allowed_cidrs: Type.Optional(AllowedCidrs),
    narrowed_to: Type.Optional(
      Type.Unsafe<Static<typeof NarrowedTo> | null>({
        anyOf: [{ $ref: 'NarrowedTo#' }, { type: 'null' }],
        description:
          'For management tokens with `tokens:introspect`. Null: it sees all tokens that it reaches.',
      }),
    ),
    not_before: Type.Optional(nullable.dateTime({ description: 'When the token becomes good.' })),
    lifetime_days: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 36_525,
        description:
          'Days from now. Alternatively, give `expires_at`, or neither for the default of the policy.',
      }),
    ),
    expires_at: Type.Optional(
      nullable.dateTime({
        description: 'When the token stops being good; at least a day ahead. Null: never.',
      }),
    ),
  },
  {
    $id: 'NewToken',
    additionalProperties: false,
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

export function parseNewToken(body: Static<typeof NewToken>, now: Date): ParsedToken {
  const { owner } = body
  return {
    name: body.name,
    type: body.type,
    comment: body.comment ?? null,
    owner: owner
      ? { subject: owner.subject, email: owner.email ?? null, source: owner.identity_source }
      : null,
    scopes: body.scopes,
    audience: body.audience,
    metadata: body.metadata ?? {},
    allowedCidrs: body.allowed_cidrs ? parseNetworks(body.allowed_cidrs) : null,
    narrowedTo: body.narrowed_to ?? null,
    notBefore: instant(body.not_before),
    expiry: askedExpiry(body, now),
  }
}

function askedExpiry(body: Static<typeof NewToken>, now: Date): AskedExpiry | undefined {
  const { lifetime_days: days, expires_at: at } = body
  if (days !== undefined) {
    if (at !== undefined) throw invalidValue('expires_at', 'cannot be given together with lifetime_days')
    return { at: daysFrom(now, days), field: 'lifetime_days' }
  }
  return at === undefined ? undefined : { at: instant(at), field: 'expires_at' }
}

function instant(text: string | null | undefined): Date | null {
  return text === undefined || text === null ? null : new Date(text)
}
