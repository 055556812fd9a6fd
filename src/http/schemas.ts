import { type Static, type TSchema, Type } from 'typebox'
import { catalogue, type ErrorCode } from '../shared/errors.ts'

/** A reference to a schema registered under its `$id`, which OpenAPI shows as a component of that name. */
export function ref<T extends TSchema>(schema: T) {
  const { $id } = schema as { $id?: string }
  return Type.Unsafe<Static<T>>({ $ref: `${$id}#` })
}

/** An optional member of a request that may also be null, which is equivalent to leaving it out. */
export function orNull<T extends TSchema>(schema: T, options: object = {}) {
  const { type, enum: values } = schema as { type?: string; enum?: unknown[] }
  return Type.Optional(
    Type.Unsafe<Static<T> | null>({
      ...schema,
      type: [type, 'null'],
      ...(values && { enum: [...values, null] }),
      ...options,
    }),
  )
}

/** As `type: [T, 'null']`, which serializes faster than a union. */
export const nullable = {
  string: (options: object = {}) => Type.Unsafe<string | null>({ type: ['string', 'null'], ...options }),
  integer: (options: object = {}) => Type.Unsafe<number | null>({ type: ['integer', 'null'], ...options }),
  dateTime: (options: object = {}) =>
    Type.Unsafe<string | null>({ type: ['string', 'null'], format: 'date-time', ...options }),
}

export const DateTime = (options: object = {}) =>
  Type.Unsafe<string>({
    type: 'string',
    format: 'date-time',
    examples: ['2026-03-01T12:00:00.000Z'],
    ...options,
  })

export const exampleRequestId = '019aa0c4-7c1e-7d43-9f53-0b8f1d2b3c4d'

export const Id = Type.String({ format: 'uuid', examples: ['019aa0c4-7c1e-7d43-9f53-0b8f1d2b3c4d'] })

export const OrganizationParams = Type.Object({
  organization: Type.String({
    minLength: 1,
    maxLength: 64,
    description: 'Key or id.',
    examples: ['default'],
  }),
})

export const Subject = Type.String({ minLength: 1, maxLength: 255, examples: ['u-4711'] })

/** The identity source of a user. */
export const IdentitySource = (options: object = {}) =>
  Type.Enum(['internal', 'ldap', 'sso'], { type: 'string', ...options })

export const OwnerParams = Type.Object({ ...OrganizationParams.properties, subject: Subject })

export const IfMatch = Type.Object({
  'if-match': Type.Optional(
    Type.String({ description: 'Make the change only if this is still the ETag.', examples: ['"1"'] }),
  ),
})

/** RFC 6749 §3.3: scope-token. */
export const ScopeToken = Type.String({
  pattern: '^[\\x21\\x23-\\x5B\\x5D-\\x7E]+$',
  'x-pattern-message': 'must be printable ASCII characters without spaces, quotation marks and backslashes',
  maxLength: 100,
})
export const Scopes = Type.Array(ScopeToken, { maxItems: 100, uniqueItems: true })
export const ScopeDetail = Type.Object(
  {
    scope: Type.String({ examples: ['um:read'] }),
    label: Type.String({ description: 'The name to show instead of the scope.', examples: ['Read'] }),
    description: nullable.string({ examples: ['Read-only access to user management'] }),
  },
  { $id: 'ScopeDetail', description: 'The label and description of a scope.' },
)
export const Audience = Type.Array(Type.String({ minLength: 1, maxLength: 500 }), {
  maxItems: 20,
  uniqueItems: true,
})

export const Problem = Type.Object(
  {
    type: Type.String({
      format: 'uri-reference',
      description: 'The URL of a description of this kind of problem.',
    }),
    title: Type.String({ description: 'The kind of problem, for people.' }),
    status: Type.Integer({ description: 'The HTTP status.' }),
    detail: Type.String({ description: 'What went wrong in this request, for people.' }),
    code: Type.Enum(Object.keys(catalogue) as ErrorCode[], {
      type: 'string',
      description: 'The kind of problem, for programs.',
    }),
    request_id: Type.String({ description: 'Quote it when you ask for help; it is also in the log.' }),
    errors: Type.Optional(
      Type.Array(
        Type.Object({
          in: Type.Enum(['body', 'query', 'path', 'header'], { type: 'string' }),
          field: Type.String(),
          detail: Type.String(),
        }),
        { description: 'The invalid inputs.' },
      ),
    ),
  },
  {
    $id: 'Problem',
    description: 'A problem document (RFC 9457).',
    examples: [
      {
        type: '/problems/invalid_request',
        title: catalogue.invalid_request.title,
        status: 400,
        detail: 'body name is required',
        code: 'invalid_request',
        request_id: exampleRequestId,
        errors: [{ in: 'body', field: 'name', detail: 'is required' }],
      },
    ],
  },
)

export const Actor = Type.Object(
  {
    type: Type.Enum(['token', 'user', 'system'], { type: 'string' }),
    id: Type.String({
      description: 'The id of a token, or the subject of a user.',
      examples: ['019aa0c4-5b2f-7a10-8c3d-6e7f80912a3b'],
    }),
    name: Type.String({ description: 'The name at that time.', examples: ['Bootstrap administrator'] }),
    issuer: Type.Optional(
      Type.String({
        description: 'For a user: the issuer of the sign-in.',
        examples: ['https://login.example'],
      }),
    ),
  },
  {
    $id: 'Actor',
    description: 'The actor.',
    examples: [
      { type: 'token', id: '019aa0c4-5b2f-7a10-8c3d-6e7f80912a3b', name: 'Bootstrap administrator' },
      { type: 'user', id: 'u-4711', name: 'ada@example.com', issuer: 'https://login.example' },
    ],
  },
)

const responseHeaders = {
  ETag: 'Its version, for If-Match (RFC 9110 §8.8.3).',
  Location: 'The path of the new resource.',
  Link: 'The next page, if there is one (RFC 8288).',
  'Idempotency-Replayed': '`true` if this is the stored response of the first request.',
  'WWW-Authenticate': 'What is wrong with the credential, or the scope it lacks (RFC 6750 §3).',
  'Retry-After': 'Seconds to wait before a retry.',
}

export type HeaderName = keyof typeof responseHeaders

function headers(names: HeaderName[]) {
  return Object.fromEntries(
    names.map((name) => [name, { type: 'string', description: responseHeaders[name] }]),
  )
}

/** A response with a JSON body, and its headers. */
export function answer<T extends TSchema>(schema: T, description: string, ...names: HeaderName[]) {
  const content = { 'application/json': { schema: ref(schema) } }
  return { description, ...(names.length > 0 && { headers: headers(names) }), content }
}

/** The headers of an error with this status, in any format. */
export function errorHeaders(status: number): object {
  if (status === 401 || status === 403) return { headers: headers(['WWW-Authenticate']) }
  return status === 503 || status === 429 ? { headers: headers(['Retry-After']) } : {}
}

/** The problem documents that an operation can respond with, by status. */
export function problems(...statuses: number[]): Record<number, object> {
  const content = { 'application/problem+json': { schema: ref(Problem) } }
  return Object.fromEntries(
    withThrottling(statuses).map((status) => [
      status,
      { description: describeStatus(status), ...errorHeaders(status), content },
    ]),
  )
}

/** Where credentials can be rejected, callers with too many bad ones are throttled. */
export function withThrottling(statuses: number[]): number[] {
  return statuses.includes(401) ? [...statuses, 429] : statuses
}

export function describeStatus(status: number): string {
  const titles = Object.values(catalogue).filter((entry) => entry.status === status)
  return titles.map((entry) => entry.title).join(' / ')
}

/** A response without a body. */
export const empty = (description: string) => Type.Unsafe<undefined>({ type: 'null', description })
export const noContent = { 204: empty('Done; the response has no body.') }
