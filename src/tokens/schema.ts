import { type Static, Type } from 'typebox'
import { permissions } from '../access/permissions.ts'
import { unchangeableOf } from '../http/messages.ts'
import { Page } from '../http/pages.ts'
import { Actor, DateTime, Id, nullable, OrganizationParams, ref } from '../http/schemas.ts'
import { statuses, statusOf } from '../shared/status.ts'
import { plainName } from '../shared/text.ts'
import { expandEndpoint } from '../token-types/endpoint.ts'
import type { Preview } from './create/create.ts'
import { Creation } from './create/form-schema.ts'
import type { Issued } from './create/issue.ts'
import { daysFrom } from './create/lifetime.ts'
import {
  AllowedCidrs,
  Comment,
  Metadata,
  Name,
  NarrowedTo,
  NewToken,
  ownerMembers,
  parseNetworks,
} from './create/schema.ts'
import { type Expiry, expiryOf, expiryStates } from './expiry.ts'
import type { SignedIn } from './find.ts'
import type { TokenChange as StoredChange, Token as StoredToken } from './store.ts'

export const Owner = Type.Object(
  { ...ownerMembers, email: nullable.string({ examples: ['ada@example.com'] }) },
  { $id: 'Owner', description: 'The user that a token belongs to.' },
)

/** For optional bodies. */
export const Revocation = Type.Unsafe<{ reason?: string | null } | null>({
  $id: 'Revocation',
  type: ['object', 'null'],
  properties: {
    reason: { type: ['string', 'null'], minLength: 1, maxLength: 1000, examples: ['Left the company'] },
  },
  additionalProperties: false,
  examples: [{ reason: 'Left the company' }],
})

const tokenMembers = {
  id: Id,
  organization: Type.String({ description: 'The key of its organization.', examples: ['default'] }),
  type: Type.String({ description: 'The name of its token type.', examples: ['api'] }),
  name: Type.String({ examples: ['Okta SCIM connector'] }),
  comment: nullable.string({ description: 'In lists, at most its first 10,000 characters.' }),
  comment_truncated: Type.Boolean({
    description: 'True in lists where the comment is longer than what is shown.',
  }),
  owner: Type.Unsafe<Static<typeof Owner> | null>({
    description: 'Null: the token belongs to a service.',
    anyOf: [{ $ref: 'Owner#' }, { type: 'null' }],
  }),
  scopes: Type.Array(Type.String(), { examples: [['read']] }),
  audience: Type.Array(Type.String(), { examples: [['https://api.example']] }),
  metadata: Metadata,
  allowed_cidrs: AllowedCidrs,
  narrowed_to: Type.Unsafe<Static<typeof NarrowedTo> | null>({
    anyOf: [{ $ref: 'NarrowedTo#' }, { type: 'null' }],
    description: 'For resource servers; null: it sees all tokens that it reaches.',
    examples: [null],
  }),
  status: Type.Enum([...statuses], { type: 'string' }),
  hint: Type.String({ description: 'The start and the end of its secret.', examples: ['api_0123…ElSk'] }),
  endpoint: nullable.string({
    description: 'The URL where tokens of its type are used.',
    examples: ['https://host.example/mcp/v1/default/mcp'],
  }),
  not_before: nullable.dateTime(),
  expires_at: nullable.dateTime({ description: 'Null: never.', examples: ['2027-03-01T12:00:00.000Z'] }),
  expiry: Type.Object(
    {
      state: Type.Enum([...expiryStates], { type: 'string' }),
      seconds_left: nullable.integer(),
      days_left: nullable.integer({
        description: 'Rounded up: 90 for a new token of 90 days, 1 on its last day, 0 once it has expired.',
      }),
    },
    { description: 'The remaining lifetime, with the thresholds of the policy.' },
  ),
  rotation_due_at: nullable.dateTime({
    description: 'When its secret will be as old as the policy allows (`rotation.every_days`). Null: never.',
    examples: [null],
  }),
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
  read_only: Type.Boolean({
    description: 'True for the token of AUTH_SECRET, which can be changed only in the configuration.',
  }),
}

export const SignedInUser = Type.Object(
  {
    issuer: Type.String({ examples: ['https://login.example'] }),
    subject: ownerMembers.subject,
    email: nullable.string({ examples: ['ada@example.com'] }),
    identity_source: ownerMembers.identity_source,
    organization: Type.String({
      description: 'The key of the organization that the sign-in belongs to.',
      examples: ['default'],
    }),
    permissions: Type.Array(Type.Enum([...permissions], { type: 'string' }), {
      description: "The permissions that the issuer's registration grants this user.",
      examples: [['tokens:own']],
    }),
  },
  { $id: 'SignedInUser', description: 'A user who signed in at a trusted issuer.' },
)

export const Warning = Type.Object(
  {
    code: Type.Enum(['lifetime_reduced', 'identity_source_kept'], { type: 'string' }),
    message: Type.String({ examples: ['The lifetime was reduced to the maximum of 365 days.'] }),
    requested: nullable.string({
      description: 'The instant or the identity source. Null: no expiry.',
      examples: ['2027-03-01T12:00:00.000Z'],
    }),
    granted: Type.String({ examples: ['2026-03-31T12:00:00.000Z'] }),
  },
  { $id: 'Warning', description: 'A difference between what was requested and what was granted.' },
)

export const Token = Type.Object(tokenMembers, { $id: 'Token', description: 'A token, without its secret.' })

export const SelfQuery = Type.Object(
  {
    organization: Type.Optional({
      ...OrganizationParams.properties.organization,
      description:
        'Key or id of the organization whose issuer a sign-in comes from; not needed for issuers of the platform, and ' +
        'ignored for tokens.',
    }),
  },
  { additionalProperties: false },
)

export const Self = Type.Unsafe<Static<typeof Token> | Static<typeof SignedInUser>>({
  $id: 'Self',
  anyOf: [{ $ref: 'Token#' }, { $ref: 'SignedInUser#' }],
  description: 'The token or signed-in user of the request.',
})

export const TokenChange = Type.Object(
  {
    name: Type.Optional({
      ...Name,
      description: 'Stored without surrounding spaces, and in Unicode NFC. It cannot be cleared.',
    }),
    comment: Type.Optional(Comment),
    metadata: Type.Optional(
      Type.Unsafe<Static<typeof Metadata> | null>({
        ...Metadata,
        type: ['object', 'null'],
        description: 'Replaces the metadata as a whole.',
      }),
    ),
    allowed_cidrs: Type.Optional({
      ...AllowedCidrs,
      description:
        'The only networks (in CIDR notation) or addresses from which it is good. Null: anywhere. Adding any requires ' +
        '`tokens:write` and everything that the token itself can do.',
    }),
  },
  {
    $id: 'TokenChange',
    additionalProperties: false,
    description: 'Members that are left out keep their values; null or `""` clears a member.',
    ...unchangeableOf(Token, NewToken),
  },
)

export const IssuedToken = Type.Object(
  {
    ...tokenMembers,
    secret: Type.String({
      description: 'Shown only once: only its hash is stored.',
      examples: ['api_0123456789abcdefghijABCDEFGHIJ2PElSk'],
    }),
    warnings: Type.Array(ref(Warning), { description: 'Differences between the request and the token.' }),
  },
  { $id: 'IssuedToken', description: 'A new token.' },
)
export const TokenPreview = Type.Object(
  {
    organization: tokenMembers.organization,
    type: tokenMembers.type,
    name: nullable.string({ description: 'Null: one is generated.', examples: ['Okta SCIM connector'] }),
    comment: nullable.string(),
    owner: tokenMembers.owner,
    scopes: tokenMembers.scopes,
    audience: tokenMembers.audience,
    metadata: tokenMembers.metadata,
    allowed_cidrs: tokenMembers.allowed_cidrs,
    narrowed_to: tokenMembers.narrowed_to,
    endpoint: tokenMembers.endpoint,
    not_before: tokenMembers.not_before,
    expires_at: tokenMembers.expires_at,
    expiry: tokenMembers.expiry,
    warnings: Type.Array(ref(Warning), { description: 'Differences between the request and the token.' }),
  },
  { $id: 'TokenPreview', description: 'The token as it would be created now.' },
)

export const TokenPage = Type.Object(
  {
    ...Page(Token, 'TokenPage').properties,
    static_token: Type.Unsafe<Static<typeof Token> | null>({
      anyOf: [{ $ref: 'Token#' }, { type: 'null' }],
      description:
        'The token of AUTH_SECRET, if that belongs to this organization and the caller may read all of its tokens. It ' +
        'is the same on every page, regardless of the filters, and not among the items or counts.',
      examples: [null],
    }),
    creation: ref(Creation),
  },
  { $id: 'TokenPage', description: 'One page of a list.' },
)

export const components = [
  Owner,
  Warning,
  Token,
  SignedInUser,
  Self,
  IssuedToken,
  TokenPreview,
  TokenPage,
  NarrowedTo,
  NewToken,
  TokenChange,
  Revocation,
]

export const DeletionQuery = Type.Object(
  {
    confirm: Type.Optional(
      Type.String({
        maxLength: 1000,
        description: 'The name of the token, if the policy requires it as confirmation.',
      }),
    ),
  },
  { additionalProperties: false },
)

export const TokenParams = Type.Object({ ...OrganizationParams.properties, token: Id })

export function parseTokenChange(body: Static<typeof TokenChange>): StoredChange {
  const { name, comment, metadata, allowed_cidrs: networks } = body
  return {
    ...(name !== undefined && { name: plainName(name) }),
    ...(comment !== undefined && { comment: comment?.normalize('NFC') ?? null }),
    ...(metadata !== undefined && { metadata: metadata ?? {} }),
    ...(networks !== undefined && { allowedCidrs: networks && parseNetworks(networks) }),
  }
}

export function presentIssued({ token, secret, warnings }: Issued, now: Date): Static<typeof IssuedToken> {
  return { ...presentToken(token, now), secret: secret.reveal(), warnings }
}

export function presentSignedIn({ user, organization }: SignedIn): Static<typeof SignedInUser> {
  return {
    issuer: user.issuer,
    subject: user.ownerSubject,
    email: user.ownerEmail,
    identity_source: user.ownerSource,
    organization: organization.key,
    permissions: [...user.permissions],
  }
}

export function presentPreview(
  { input, decision, organization }: Preview,
  now: Date,
): Static<typeof TokenPreview> {
  const { type, owner, scopes, audience, expiresAt, warnings, policy } = decision
  return {
    organization: organization.key,
    type: type.name,
    name: input.name ?? null,
    comment: input.comment,
    owner: owner && { subject: owner.subject, email: owner.email, identity_source: owner.source },
    scopes,
    audience,
    metadata: input.metadata as Static<typeof Metadata>,
    allowed_cidrs: input.allowedCidrs,
    narrowed_to: input.narrowedTo,
    endpoint: expandEndpoint(type.endpoint, organization.key),
    not_before: input.notBefore?.toISOString() ?? null,
    expires_at: expiresAt?.toISOString() ?? null,
    expiry: presentExpiry(expiryOf(expiresAt, policy.expiry_warning, now)),
    warnings,
  }
}

function presentExpiry({ state, secondsLeft, daysLeft }: Expiry): Static<typeof Token>['expiry'] {
  return { state, seconds_left: secondsLeft, days_left: daysLeft }
}

export function presentToken(token: StoredToken, now: Date): Static<typeof Token> {
  const { ownerSubject, ownerSource } = token
  return {
    id: token.id,
    organization: token.organizationKey,
    type: token.type,
    name: token.name,
    comment: token.comment,
    comment_truncated: token.isCommentCut ?? false,
    owner:
      ownerSubject === null || ownerSource === null
        ? null
        : { subject: ownerSubject, email: token.ownerEmail, identity_source: ownerSource },
    scopes: token.scopes,
    audience: token.audience,
    metadata: token.metadata as Static<typeof Metadata>,
    allowed_cidrs: token.allowedCidrs,
    narrowed_to: token.narrowedTo,
    status: statusOf(token, now),
    hint: token.hint,
    endpoint: expandEndpoint(token.endpoint, token.organizationKey),
    not_before: token.notBefore?.toISOString() ?? null,
    expires_at: token.expiresAt?.toISOString() ?? null,
    expiry: presentExpiry(expiryOf(token.expiresAt, token.expiryWarning, now)),
    rotation_due_at: rotationDueAt(token)?.toISOString() ?? null,
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

function rotationDueAt({ secretCreatedAt, rotateEveryDays, revokedAt }: StoredToken): Date | null {
  return rotateEveryDays === null || revokedAt ? null : daysFrom(secretCreatedAt, rotateEveryDays)
}
