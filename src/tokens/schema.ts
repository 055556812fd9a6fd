import { type Static, Type } from 'typebox'
import { invalidValue } from '../errors.ts'
import { parseInstant } from '../http/instant.ts'
import { Page } from '../http/pages.ts'
import { Actor, Audience, DateTime, Id, nullable, OrganizationParams, ref, Scopes } from '../http/schemas.ts'
import { expandEndpoint } from '../token-types/endpoint.ts'
import { dayMs, type NewToken as ParsedToken } from './issue.ts'
import { statuses, statusOf } from './status.ts'
import type { Token as StoredToken } from './store.ts'

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
  { ...ownerMembers, email: nullable.string() },
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
    name: Name,
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
        description: 'Days from now; or give `expires_at`; or neither.',
      }),
    ),
    expires_at: Type.Optional(
      nullable.dateTime({ description: 'No longer good from then on; at least a day ahead. Null: never.' }),
    ),
  },
  { $id: 'NewToken', additionalProperties: false },
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
})

const tokenMembers = {
  id: Id,
  organization: Type.String({ description: 'The key of its organization.' }),
  type: Type.String(),
  name: Type.String(),
  comment: nullable.string(),
  owner: Type.Unsafe<Static<typeof Owner> | null>({
    description: 'Null: it belongs to a service.',
    anyOf: [{ $ref: 'Owner#' }, { type: 'null' }],
  }),
  scopes: Type.Array(Type.String()),
  audience: Type.Array(Type.String()),
  metadata: Metadata,
  status: Type.Enum([...statuses], { type: 'string' }),
  hint: Type.String({ description: 'The start and the end of its secret.', examples: ['api_x7Gk…Q2fP'] }),
  endpoint: nullable.string({ description: 'Where tokens of its type are used.' }),
  not_before: nullable.dateTime(),
  expires_at: nullable.dateTime({ description: 'Null: never.' }),
  last_used_at: nullable.dateTime(),
  last_used_ip: nullable.string(),
  revoked_at: nullable.dateTime(),
  revoked_by: Type.Unsafe<Static<typeof Actor> | null>({ anyOf: [{ $ref: 'Actor#' }, { type: 'null' }] }),
  revoked_reason: nullable.string(),
  created_at: DateTime(),
  created_by: ref(Actor),
  updated_at: DateTime(),
  read_only: Type.Boolean({
    description: 'True of the entry for AUTH_SECRET, which cannot be changed here.',
  }),
}

export const Token = Type.Object(tokenMembers, { $id: 'Token' })
export const IssuedToken = Type.Object(
  { ...tokenMembers, secret: Type.String({ description: 'Shown this once. Only its hash is kept.' }) },
  { $id: 'IssuedToken' },
)
export const TokenPage = Page(Token, 'TokenPage')

export const components = [Owner, Token, IssuedToken, TokenPage, NewToken, TokenChange, Revocation]

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
    expiresAt: expiry(body, now),
  }
}

function expiry({ lifetime_days: days, expires_at: at }: Static<typeof NewToken>, now: Date): Date | null {
  if (days === undefined) return instant('expires_at', at)
  if (at !== undefined) throw invalidValue('expires_at', 'cannot be given together with lifetime_days')
  return new Date(now.getTime() + days * dayMs)
}

function instant(field: string, text: string | null | undefined): Date | null {
  return text === undefined || text === null ? null : parseInstant('body', field, text)
}

export function presentToken(token: StoredToken, now: Date): Static<typeof Token> {
  const { ownerSubject, ownerSource } = token
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
    last_used_at: token.lastUsedAt?.toISOString() ?? null,
    last_used_ip: token.lastUsedIp,
    revoked_at: token.revokedAt?.toISOString() ?? null,
    revoked_by: token.revokedBy,
    revoked_reason: token.revokedReason,
    created_at: token.createdAt.toISOString(),
    created_by: token.createdBy,
    updated_at: token.updatedAt.toISOString(),
    read_only: token.readOnly ?? false,
  }
}
