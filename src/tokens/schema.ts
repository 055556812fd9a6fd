import { type Static, Type } from 'typebox'
import { invalidValue } from '../errors.ts'
import { parseInstant } from '../http/instant.ts'
import { Page, pageQuery } from '../http/pages.ts'
import { Actor, Audience, DateTime, Id, nullable, OrganizationParams, ref, Scopes } from '../http/schemas.ts'
import { expandEndpoint } from '../token-types/endpoint.ts'
import { Creation, candidateQuery } from './creation-schema.ts'
import { expiryOf, expiryStates } from './expiry.ts'
import type { Issued, NewToken as ParsedToken } from './issue.ts'
import { type AskedExpiry, daysFrom } from './lifetime.ts'
import { statuses, statusOf } from './status.ts'
import { type Token as StoredToken, sorts } from './store.ts'

const Name = Type.String({ minLength: 1, maxLength: 500, pattern: '\\S', examples: ['Okta SCIM connector'] })
const Comment = nullable.string({
  maxLength: 10_000,
  examples: ['Asked for in CHG-1042 by the identity team'],
})

const ownerMembers = {
  subject: Type.String({ minLength: 1, maxLength: 255, examples: ['u-4711'] }),
  identity_source: Type.Enum(['internal', 'ldap', 'sso'], { type: 'string' }),
}

export const Owner = Type.Object(
  { ...ownerMembers, email: nullable.string({ examples: ['ada@example.com'] }) },
  { $id: 'Owner', description: 'The user that a token belongs to.' },
)

const Metadata = Type.Record(
  Type.String({ minLength: 1, maxLength: 64 }),
  Type.Unsafe<string | number | boolean | null>({
    type: ['string', 'number', 'boolean', 'null'],
    maxLength: 500,
  }),
  {
    maxProperties: 50,
    description: 'Yours to use; Counterfoil does not look into it.',
    examples: [{ team: 'identity' }],
  },
)

export const NewToken = Type.Object(
  {
    name: Type.Optional({ ...Name, description: 'May be left out where the policy has one generated.' }),
    type: Type.String({ maxLength: 50, description: 'The name of a token type.', examples: ['api'] }),
    comment: Type.Optional(Comment),
    owner: Type.Optional(
      Type.Object(
        {
          subject: ownerMembers.subject,
          identity_source: Type.Optional(ownerMembers.identity_source),
          email: Type.Optional(nullable.string({ format: 'email', maxLength: 320 })),
        },
        { additionalProperties: false, description: 'Left out: the token belongs to a service.' },
      ),
    ),
    scopes: Type.Optional({
      ...Scopes,
      description: 'Left out: the default scopes of the type.',
      examples: [['read']],
    }),
    audience: Type.Optional({ ...Audience, description: 'Left out: the audience of the type.' }),
    metadata: Type.Optional(Metadata),
    not_before: Type.Optional(nullable.dateTime({ description: 'Not good before.' })),
    lifetime_days: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 36_525,
        description: 'Days from now; or give `expires_at`; or neither, for what the policy has.',
      }),
    ),
    expires_at: Type.Optional(
      nullable.dateTime({
        description: 'No longer good from then on; at least a day ahead. Null: never expires.',
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

export const TokenChange = Type.Object(
  { name: Type.Optional(Name), comment: Type.Optional(Comment) },
  { $id: 'TokenChange', additionalProperties: false },
)

/** For bodies that may be left out. */
export const Revocation = Type.Unsafe<{ reason?: string } | null>({
  $id: 'Revocation',
  type: ['object', 'null'],
  properties: { reason: { type: 'string', minLength: 1, maxLength: 1000, examples: ['Left the company'] } },
  additionalProperties: false,
  examples: [{ reason: 'Left the company' }],
})

const tokenMembers = {
  id: Id,
  organization: Type.String({ description: 'The key of its organization.', examples: ['default'] }),
  type: Type.String({ description: 'The name of its token type.', examples: ['api'] }),
  name: Type.String({ examples: ['Okta SCIM connector'] }),
  comment: nullable.string(),
  owner: Type.Unsafe<Static<typeof Owner> | null>({
    description: 'Null: it belongs to a service.',
    anyOf: [{ $ref: 'Owner#' }, { type: 'null' }],
  }),
  scopes: Type.Array(Type.String(), { examples: [['read']] }),
  audience: Type.Array(Type.String(), { examples: [['https://api.example']] }),
  metadata: Metadata,
  status: Type.Enum([...statuses], { type: 'string' }),
  hint: Type.String({ description: 'The start and the end of its secret.', examples: ['api_0123…ElSk'] }),
  endpoint: nullable.string({
    description: 'Where tokens of its type are used.',
    examples: ['https://host.example/mcp/v1/default/mcp'],
  }),
  not_before: nullable.dateTime(),
  expires_at: nullable.dateTime({ description: 'Null: never.', examples: ['2027-03-01T12:00:00.000Z'] }),
  expiry: Type.Object(
    {
      state: Type.Enum([...expiryStates], { type: 'string' }),
      seconds_left: nullable.integer(),
      days_left: nullable.integer({ description: 'Whole days.' }),
    },
    { description: 'What is left of its life; the thresholds are those of the policy.' },
  ),
  last_used_at: nullable.dateTime(),
  last_used_ip: nullable.string(),
  revoked_at: nullable.dateTime(),
  revoked_by: Type.Unsafe<Static<typeof Actor> | null>({
    anyOf: [{ $ref: 'Actor#' }, { type: 'null' }],
    examples: [null],
  }),
  revoked_reason: nullable.string(),
  created_at: DateTime(),
  created_by: ref(Actor),
  updated_at: DateTime(),
}

export const Warning = Type.Object(
  {
    code: Type.Enum(['lifetime_reduced'], { type: 'string' }),
    message: Type.String({ examples: ['The lifetime was reduced to the maximum of 365 days.'] }),
    requested: DateTime(),
    granted: DateTime(),
  },
  { $id: 'Warning' },
)

export const Token = Type.Object(tokenMembers, { $id: 'Token', description: 'A token, without its secret.' })
export const IssuedToken = Type.Object(
  {
    ...tokenMembers,
    secret: Type.String({
      description: 'Shown this once. Only its hash is kept.',
      examples: ['api_0123456789abcdefghijABCDEFGHIJ2PElSk'],
    }),
    warnings: Type.Array(ref(Warning), { description: 'Where the token is not quite what was asked for.' }),
  },
  { $id: 'IssuedToken', description: 'A token just made.' },
)
export const TokenPage = Type.Object(
  { ...Page(Token, 'TokenPage').properties, creation: ref(Creation) },
  { $id: 'TokenPage' },
)

export const components = [Owner, Warning, Token, IssuedToken, TokenPage, NewToken, TokenChange, Revocation]

export const TokenQuery = Type.Object(
  {
    status: Type.Optional(Type.Enum([...statuses], { type: 'string' })),
    type: Type.Optional(Type.String({ maxLength: 50 })),
    owner: Type.Optional(Type.String({ maxLength: 255, description: 'The subject of the owner.' })),
    ...candidateQuery,
    search: Type.Optional(
      Type.String({ minLength: 1, maxLength: 500, description: 'A part of the name, in any case.' }),
    ),
    sort: Type.Enum([...sorts, ...sorts.map((sort) => `-${sort}` as const)], {
      type: 'string',
      default: '-created_at',
      description: 'With a minus, descending.',
    }),
    ...pageQuery,
  },
  { additionalProperties: false },
)

export const DeletionQuery = Type.Object(
  {
    confirm: Type.Optional(
      Type.String({
        maxLength: 500,
        description: 'The name of the token, where the policy wants it repeated.',
      }),
    ),
  },
  { additionalProperties: false },
)

export const TokenParams = Type.Object({ ...OrganizationParams.properties, token: Id })

export function parseNewToken(body: Static<typeof NewToken>, now: Date): ParsedToken {
  const { owner } = body
  return {
    name: body.name,
    type: body.type,
    comment: body.comment ?? null,
    owner: owner
      ? { subject: owner.subject, email: owner.email ?? null, source: owner.identity_source ?? 'internal' }
      : null,
    scopes: body.scopes,
    audience: body.audience,
    metadata: body.metadata ?? {},
    notBefore: instant('not_before', body.not_before),
    expiry: askedExpiry(body, now),
  }
}

function askedExpiry(body: Static<typeof NewToken>, now: Date): AskedExpiry | undefined {
  const { lifetime_days: days, expires_at: at } = body
  if (days !== undefined) {
    if (at !== undefined) throw invalidValue('expires_at', 'cannot be given together with lifetime_days')
    return { at: daysFrom(now, days), field: 'lifetime_days' }
  }
  return at === undefined ? undefined : { at: instant('expires_at', at), field: 'expires_at' }
}

function instant(field: string, text: string | null | undefined): Date | null {
  return text === undefined || text === null ? null : parseInstant('body', field, text)
}

export function presentIssued({ token, secret, warnings }: Issued, now: Date): Static<typeof IssuedToken> {
  return { ...presentToken(token, now), secret: secret.reveal(), warnings }
}

export function presentToken(token: StoredToken, now: Date): Static<typeof Token> {
  const { ownerSubject, ownerSource } = token
  const { state, secondsLeft, daysLeft } = expiryOf(token.expiresAt, token.expiryWarning, now)
  return {
    id: token.id,
    organization: token.organizationKey,
    type: token.type,
    name: token.name,
    comment: token.comment,
    owner:
      ownerSubject === null || ownerSource === null
        ? null
        : { subject: ownerSubject, email: token.ownerEmail, identity_source: ownerSource },
    scopes: token.scopes,
    audience: token.audience,
    metadata: token.metadata as Static<typeof Metadata>,
    status: statusOf(token, now),
    hint: token.hint,
    endpoint: expandEndpoint(token.endpoint, token.organizationKey),
    not_before: token.notBefore?.toISOString() ?? null,
    expires_at: token.expiresAt?.toISOString() ?? null,
    expiry: { state, seconds_left: secondsLeft, days_left: daysLeft },
    last_used_at: token.lastUsedAt?.toISOString() ?? null,
    last_used_ip: token.lastUsedIp,
    revoked_at: token.revokedAt?.toISOString() ?? null,
    revoked_by: token.revokedBy,
    revoked_reason: token.revokedReason,
    created_at: token.createdAt.toISOString(),
    created_by: token.createdBy,
    updated_at: token.updatedAt.toISOString(),
  }
}
