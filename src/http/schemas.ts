import { type Static, type TSchema, Type } from 'typebox'
import { catalogue, type ErrorCode } from '../errors.ts'

/** A reference to a schema that is registered under its `$id`; OpenAPI shows it as a component of that name. */
export function ref<T extends TSchema>(schema: T) {
  const { $id } = schema as { $id?: string }
  return Type.Unsafe<Static<T>>({ $ref: `${$id}#` })
}

/** As `type: [T, 'null']`, which serialises faster than a union. */
export const nullable = {
  string: (options: object = {}) => Type.Unsafe<string | null>({ type: ['string', 'null'], ...options }),
  integer: (options: object = {}) => Type.Unsafe<number | null>({ type: ['integer', 'null'], ...options }),
  dateTime: (options: object = {}) =>
    Type.Unsafe<string | null>({ type: ['string', 'null'], format: 'date-time', ...options }),
}

export const DateTime = (options: object = {}) =>
  Type.Unsafe<string>({ type: 'string', format: 'date-time', ...options })

export const Id = Type.String({ format: 'uuid', examples: ['019aa0c4-7c1e-7d43-9f53-0b8f1d2b3c4d'] })

export const OrganizationParams = Type.Object({
  organization: Type.String({
    minLength: 1,
    maxLength: 36,
    description: 'Key or id.',
    examples: ['default'],
  }),
})

export const IfMatch = Type.Object({
  'if-match': Type.Optional(
    Type.String({ description: 'Change it only if this is still its ETag.', examples: ['"1"'] }),
  ),
})

/** RFC 6749 §3.3: scope-token. */
export const ScopeToken = Type.String({ pattern: '^[\\x21\\x23-\\x5B\\x5D-\\x7E]+$', maxLength: 100 })
export const Scopes = Type.Array(ScopeToken, { maxItems: 100, uniqueItems: true })
export const Audience = Type.Array(Type.String({ minLength: 1, maxLength: 500 }), {
  maxItems: 20,
  uniqueItems: true,
})

export const Problem = Type.Object(
  {
    type: Type.String({ format: 'uri-reference', description: 'Where this kind of problem is described.' }),
    title: Type.String(),
    status: Type.Integer(),
    detail: Type.String({ description: 'What went wrong this time, for a person.' }),
    code: Type.Enum(Object.keys(catalogue) as ErrorCode[], {
      type: 'string',
      description: 'The same as `type`, for programs.',
    }),
    request_id: Type.String({ description: 'Quote it when asking for help: the logs have it too.' }),
    errors: Type.Optional(
      Type.Array(
        Type.Object({
          in: Type.Enum(['body', 'query', 'path', 'header'], { type: 'string' }),
          field: Type.String(),
          detail: Type.String(),
        }),
        { description: 'The inputs that are at fault.' },
      ),
    ),
  },
  { $id: 'Problem', description: 'A problem document (RFC 9457).' },
)

export const Actor = Type.Object(
  {
    type: Type.Enum(['token', 'system'], { type: 'string' }),
    id: Type.String(),
    name: Type.String({ description: 'Its name at that time.' }),
  },
  { $id: 'Actor', description: 'Who did it.' },
)

type Responses = Record<number, object>

/** The problem documents that an operation can answer with, by status. */
export function problems(...statuses: number[]): Responses {
  const content = { 'application/problem+json': { schema: ref(Problem) } }
  return Object.fromEntries(statuses.map((status) => [status, { description: describe(status), content }]))
}

function describe(status: number): string {
  const titles = Object.values(catalogue).filter((entry) => entry.status === status)
  return titles.map((entry) => entry.title).join(' / ')
}

/** A response without a body. */
export const empty = (description: string) => Type.Unsafe<undefined>({ type: 'null', description })
export const noContent = { 204: empty('Done; there is nothing to show.') }
