import { type Static, Type } from 'typebox'
import { permissions } from '../access/permissions.ts'
import type { TrustedIssuer as Row } from '../db/tables.ts'
import { nameForm, unchangeableOf } from '../http/messages.ts'
import { DateTime, Id, nullable, OrganizationParams, orNull, ref } from '../http/schemas.ts'
import { plainName } from '../shared/text.ts'
import {
  algorithms,
  defaultAlgorithms,
  defaultScope,
  type Registration,
  redirectUriOf,
} from './registration.ts'

const closed = { additionalProperties: false }

const Permissions = Type.Array(Type.Enum([...permissions], { type: 'string' }), { uniqueItems: true })

const claim = (description: string, example: string) =>
  Type.String({ minLength: 1, maxLength: 200, description, examples: [example] })

const claims = {
  subject: claim('The claim with the subject of the user, who owns tokens under it.', 'sub'),
  email: claim('The claim with the e-mail address, if any.', 'email'),
  groups: claim("The claim with the names of the user's groups, or with one name, if any.", 'groups'),
}

const defaultClaims = { subject: 'sub', email: 'email', groups: 'groups' }

const OrganizationClaim = nullable.string({
  minLength: 1,
  maxLength: 200,
  description:
    "Only in the platform organization, where it is required: the claim with the key of the user's organization. Null: " +
    'all users belong to the platform organization.',
  examples: [null],
})

const members = {
  name: Type.String({ minLength: 1, maxLength: 200, ...nameForm, examples: ['Acme sign-in'] }),
  issuer: Type.String({
    maxLength: 500,
    // Without query and fragment (RFC 8414 §2).
    pattern: '^https?://[\\x21\\x22\\x24-\\x3E\\x40-\\x7E]+$',
    'x-pattern-message':
      'must be an http or https URL of printable ASCII characters, without spaces, query and fragment',
    description: 'The exact value of `iss`.',
    examples: ['https://login.example/realms/acme'],
  }),
  audience: Type.String({
    minLength: 1,
    maxLength: 500,
    description: 'The required value in `aud` (RFC 8725 §3.9).',
    examples: ['counterfoil'],
  }),
}

const jwksUri = {
  maxLength: 1000,
  description: 'The URL of its keys. Null: taken from its metadata (OpenID Connect Discovery, RFC 8414).',
  examples: [null],
}

const GroupPermissions = Type.Object(
  {
    group: Type.String({ minLength: 1, maxLength: 500, examples: ['token-administrators'] }),
    permissions: { ...Permissions, examples: [['tokens:read', 'tokens:write']] },
  },
  closed,
)

const grants = {
  default_permissions: {
    ...Permissions,
    description: 'The permissions of every user.',
    examples: [['tokens:own']],
  },
  group_permissions: Type.Array(GroupPermissions, {
    maxItems: 200,
    description: 'Additional permissions for users in a group.',
  }),
}

const client = {
  client_id: nullable.string({
    minLength: 1,
    maxLength: 500,
    pattern: '^[\\x20-\\x7E]+$',
    'x-pattern-message': 'must be printable ASCII characters',
    description:
      'The OAuth client by which people sign in to the console, registered at the issuer with `redirect_uri`. Null: they cannot.',
    examples: [null],
  }),
  scope: Type.String({
    maxLength: 500,
    pattern: '^openid( [\\x21\\x23-\\x5B\\x5D-\\x7E]+)*$',
    'x-pattern-message': 'must be `openid`, and after it other scopes with one space before each',
    description: 'The scopes to ask for when a person signs in to the console.',
    examples: [defaultScope],
  }),
}

const Algorithms = Type.Array(Type.Enum(algorithms, { type: 'string' }), {
  minItems: 1,
  uniqueItems: true,
  description: 'The algorithms that may sign its tokens (RFC 8725 §3.1).',
  examples: [defaultAlgorithms],
})

export const TrustedIssuer = Type.Object(
  {
    id: Id,
    ...members,
    jwks_uri: nullable.string(jwksUri),
    algorithms: Algorithms,
    claims: Type.Object({ ...claims, organization: OrganizationClaim }),
    ...grants,
    ...client,
    has_client_secret: Type.Boolean(),
    redirect_uri: Type.String({
      format: 'uri',
      description: 'The redirect URI to register for the client.',
      examples: ['https://tokens.example/console/sign-in/callback/019aa0c4-7c1e-7d43-9f53-0b8f1d2b3c4d'],
    }),
    created_at: DateTime(),
    updated_at: DateTime(),
  },
  { $id: 'TrustedIssuer', description: 'An identity provider whose users may sign in.' },
)

export const IssuerRegistration = Type.Object(
  {
    ...members,
    jwks_uri: Type.Optional(nullable.string(jwksUri)),
    algorithms: orNull(Algorithms),
    claims: orNull(
      Type.Object(
        {
          subject: orNull(claims.subject),
          email: orNull(claims.email),
          groups: orNull(claims.groups),
          organization: Type.Optional(OrganizationClaim),
        },
        {
          ...closed,
          description: 'The claims to read; members that are left out default to those of the example.',
        },
      ),
    ),
    default_permissions: orNull(grants.default_permissions),
    group_permissions: orNull(grants.group_permissions),
    client_id: Type.Optional(client.client_id),
    client_secret: Type.Optional(
      nullable.string({
        maxLength: 2000,
        pattern: '^[\\x20-\\x7E]+$',
        'x-pattern-message': 'must be printable ASCII characters',
        description:
          'The secret of the client, which is encrypted and never shown; a client without one is public. While `issuer` ' +
          'and `client_id` stay the same, it stays as it is if it is left out.',
        examples: [null],
      }),
    ),
    scope: orNull(client.scope),
  },
  {
    $id: 'IssuerRegistration',
    ...closed,
    description:
      'The issuer, the audience of its tokens, and the permissions of its users. An optional member that is null or `""` counts as ' +
      'left out, apart from `claims.organization`.',
    ...unchangeableOf(TrustedIssuer, { properties: {} }),
  },
)

export const TrustedIssuerList = Type.Object(
  { items: Type.Array(ref(TrustedIssuer)) },
  { $id: 'TrustedIssuerList', description: 'All trusted issuers, by issuer and audience.' },
)

export const IssuerParams = Type.Object({ ...OrganizationParams.properties, issuer: Id })

export const components = [TrustedIssuer, TrustedIssuerList, IssuerRegistration]

export function parseRegistration(body: Static<typeof IssuerRegistration>): Registration {
  const { name, issuer, audience } = body
  const { subject, email, groups, organization } = body.claims ?? {}
  return {
    name: plainName(name),
    issuer,
    audience,
    jwksUri: body.jwks_uri ?? null,
    algorithms: body.algorithms ?? defaultAlgorithms,
    claims: {
      subject: subject ?? defaultClaims.subject,
      email: email ?? defaultClaims.email,
      groups: groups ?? defaultClaims.groups,
      organization,
    },
    defaultPermissions: body.default_permissions ?? [],
    groupPermissions: body.group_permissions ?? [],
    clientId: body.client_id ?? null,
    scope: body.scope ?? defaultScope,
  }
}

export function presentIssuer(row: Row, publicUrl: string): Static<typeof TrustedIssuer> {
  return {
    id: row.id,
    name: row.name,
    issuer: row.issuer,
    audience: row.audience,
    jwks_uri: row.jwksUri,
    algorithms: row.algorithms,
    claims: row.claims,
    default_permissions: row.defaultPermissions,
    group_permissions: row.groupPermissions,
    client_id: row.clientId,
    scope: row.scope,
    has_client_secret: row.clientSecret !== null,
    redirect_uri: redirectUriOf(publicUrl, row.id),
    created_at: row.createdAt.toISOString(),
    updated_at: row.updatedAt.toISOString(),
  }
}
