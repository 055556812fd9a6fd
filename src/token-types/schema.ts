import { type Static, Type } from 'typebox'
import { nameForm, unchangeableOf } from '../http/messages.ts'
import {
  Audience,
  DateTime,
  nullable,
  OrganizationParams,
  orNull,
  ref,
  ScopeDetail,
  Scopes,
  ScopeToken,
} from '../http/schemas.ts'
import { plainName } from '../shared/text.ts'
import { scopeDetailsOf } from './scope-details.ts'
import {
  type TokenTypeChange as ParsedChange,
  type NewTokenType as ParsedType,
  type TokenTypeOf,
  tokenFormats,
} from './token-types.ts'

const NewScopeDetail = Type.Object(
  {
    scope: { ...ScopeToken, examples: ['um:read'] },
    label: Type.String({ minLength: 1, maxLength: 200, ...nameForm, examples: ['Read'] }),
    description: Type.Optional(nullable.string({ maxLength: 1000, format: 'text' })),
  },
  { additionalProperties: false },
)

const changeable = {
  description: Type.Optional(nullable.string({ maxLength: 1000, examples: ['For identity providers'] })),
  allowed_scopes: orNull(Scopes, {
    description: 'The scopes that tokens of this type may have; null for any.',
    examples: [['um:read', 'um:write', 'um:bulk']],
  }),
  default_scopes: orNull(Scopes, { description: 'The default for new tokens.', examples: [['um:read']] }),
  scopes_required: orNull(Type.Boolean(), { description: 'Whether a token needs at least one scope.' }),
  scope_details: orNull(Type.Array(NewScopeDetail, { maxItems: 100 }), {
    description: 'Labels and descriptions of allowed scopes, for forms. Replaces all that the type has.',
  }),
  audience: orNull(Audience, {
    description: 'The default for new tokens.',
    examples: [['https://host.example']],
  }),
  status_list: orNull(Type.Boolean(), {
    description: 'Whether new JWTs refer to a status list, from which verifiers learn of revocations.',
  }),
  self_rotation: orNull(Type.Boolean(), {
    description: 'Whether its tokens may rotate themselves, regardless of their scopes.',
  }),
  endpoint: Type.Optional(
    nullable.string({
      pattern: '^https?://[^\\s{}]*(\\{organization\\}[^\\s{}]*)*$',
      'x-pattern-message':
        'must be an http or https URL without spaces, in which {organization} is the only placeholder',
      maxLength: 1000,
      description: 'The URL where its tokens are used; shown with every token.',
      examples: ['https://host.example/mcp/v1/{organization}/mcp'],
    }),
  ),
}

export const NewTokenType = Type.Object(
  {
    name: Type.String({
      pattern: '^[a-z][a-z0-9-]{0,48}[a-z0-9]$',
      'x-pattern-message':
        'must be 2 to 50 lower-case letters, digits and hyphens; it must start with a letter and not end with a hyphen',
      examples: ['personal-access'],
    }),
    format: orNull(Type.Enum([...tokenFormats], { type: 'string' }), {
      default: 'opaque',
      description:
        'JWTs can also be verified without Counterfoil, but then revocations go unnoticed unless the type uses a status list.',
    }),
    prefix: orNull(Type.String(), {
      pattern: '^[a-z][a-z0-9]*(_[a-z0-9]+)*$',
      'x-pattern-message':
        'must be lower-case letters, digits and single underscores; it must start with a letter and not end with an underscore',
      maxLength: 20,
      description: 'The prefix of its tokens. Required for opaque tokens; JWTs have none.',
      examples: ['pat'],
    }),
    carries_organization: orNull(Type.Boolean(), {
      description: 'Whether the token contains the key of the organization after the prefix.',
    }),
    ...changeable,
  },
  {
    $id: 'NewTokenType',
    additionalProperties: false,
    description: 'An optional member that is null or `""` counts as left out.',
  },
)

export const TokenType = Type.Object(
  {
    name: Type.String({ examples: ['scim'] }),
    organization: nullable.string({
      description: 'The key of the organization that the type belongs to. Null: the platform.',
      examples: [null],
    }),
    description: nullable.string({ examples: ['For identity providers'] }),
    prefix: Type.String({ description: 'The prefix of its tokens; empty for JWTs.', examples: ['scim'] }),
    carries_organization: Type.Boolean(),
    format: Type.Enum([...tokenFormats], { type: 'string' }),
    allowed_scopes: Type.Unsafe<string[] | null>({
      type: ['array', 'null'],
      items: { type: 'string' },
      examples: [['um:read', 'um:write', 'um:bulk']],
    }),
    default_scopes: Type.Array(Type.String(), { examples: [['um:read']] }),
    scopes_required: Type.Boolean(),
    scope_details: Type.Array(ref(ScopeDetail)),
    audience: Type.Array(Type.String(), { examples: [['https://host.example']] }),
    endpoint: nullable.string({ examples: ['https://host.example/mcp/v1/{organization}/mcp'] }),
    status_list: Type.Boolean({ description: 'Whether its JWTs refer to a status list.' }),
    self_rotation: Type.Boolean({ description: 'Whether its tokens may rotate themselves.' }),
    suspended_at: nullable.dateTime({
      description: 'When it was suspended; since then none of its tokens is good.',
    }),
    created_at: DateTime(),
    updated_at: DateTime(),
  },
  { $id: 'TokenType', description: 'What all tokens of this type have in common.' },
)

export const TokenTypeChange = Type.Object(changeable, {
  $id: 'TokenTypeChange',
  additionalProperties: false,
  description: 'Members that are left out keep their values; null or `""` resets a member to its default.',
  ...unchangeableOf(TokenType, NewTokenType),
})

export const TokenTypeList = Type.Object(
  { items: Type.Array(ref(TokenType)) },
  { $id: 'TokenTypeList', description: 'All token types, by name.' },
)
const type = Type.String({ maxLength: 50, examples: ['api'] })
const { organization } = OrganizationParams.properties

export const NoParams = Type.Object({})
export const TokenTypeParams = Type.Object({ type })
export const CollectionParams = OrganizationParams
export const OrganizationTypeParams = Type.Object({ organization, type })

/** The parameters that the handlers of both kinds of routes read. */
export const AnyCollectionParams = Type.Object({ organization: Type.Optional(organization) })
export const AnyTypeParams = Type.Object({ organization: Type.Optional(organization), type })

export const components = [TokenType, TokenTypeList, NewTokenType, TokenTypeChange]

export function parseTokenType(body: Static<typeof NewTokenType>): ParsedType {
  const { name, format, prefix, carries_organization, ...change } = body
  return {
    name,
    format: format ?? 'opaque',
    prefix: prefix ?? undefined,
    carriesOrganization: carries_organization ?? false,
    ...parseTokenTypeChange(change),
  }
}

export function parseTokenTypeChange(body: Static<typeof TokenTypeChange>): ParsedChange {
  const {
    allowed_scopes,
    default_scopes,
    scopes_required,
    scope_details,
    audience,
    status_list,
    self_rotation,
  } = body
  const { description, endpoint } = body
  return {
    ...(description !== undefined && { description }),
    ...(endpoint !== undefined && { endpoint }),
    ...(allowed_scopes !== undefined && { allowedScopes: allowed_scopes }),
    ...(default_scopes !== undefined && { defaultScopes: default_scopes ?? [] }),
    ...(scopes_required !== undefined && { scopesRequired: scopes_required ?? false }),
    ...(scope_details !== undefined && { scopeDetails: parseScopeDetails(scope_details ?? []) }),
    ...(audience !== undefined && { audience: audience ?? [] }),
    ...(status_list !== undefined && { statusList: status_list ?? false }),
    ...(self_rotation !== undefined && { selfRotation: self_rotation ?? false }),
  }
}

function parseScopeDetails(details: Static<typeof NewScopeDetail>[]): TokenTypeOf['scopeDetails'] {
  return details.map(({ scope, label, description = null }) => ({
    scope,
    label: plainName(label),
    description,
  }))
}

export function presentTokenType(row: TokenTypeOf): Static<typeof TokenType> {
  return {
    name: row.name,
    organization: row.organizationKey,
    description: row.description,
    prefix: row.prefix,
    carries_organization: row.carriesOrganization,
    format: row.format,
    allowed_scopes: row.allowedScopes,
    default_scopes: row.defaultScopes,
    scopes_required: row.scopesRequired,
    scope_details: scopeDetailsOf(row),
    audience: row.audience,
    endpoint: row.endpoint,
    status_list: row.statusList,
    self_rotation: row.selfRotation,
    suspended_at: row.suspendedAt?.toISOString() ?? null,
    created_at: row.createdAt.toISOString(),
    updated_at: row.updatedAt.toISOString(),
  }
}
