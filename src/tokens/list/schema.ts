import { type Static, Type } from 'typebox'
import { pageQuery } from '../../http/pages.ts'
import { DateTime } from '../../http/schemas.ts'
import { statuses } from '../../shared/status.ts'
import { candidateQuery } from '../create/form-schema.ts'
import { type Position, type TokenQuery as Query, type Range, type Sort, sorts } from './store.ts'

const from = (what: string) => Type.Optional(DateTime({ description: `${what} at this instant or later.` }))
const to = (what: string) => Type.Optional(DateTime({ description: `${what} before this instant.` }))

export const TokenQuery = Type.Object(
  {
    status: Type.Optional(
      Type.Enum([...statuses], {
        type: 'string',
        description:
          'If most tokens have another status, the first page may be slow. Sort expired tokens by `expires_at` ' +
          'to avoid that.',
      }),
    ),
    type: Type.Optional(Type.String({ maxLength: 50 })),
    owner: Type.Optional(Type.String({ maxLength: 255, description: 'The subject of the owner.' })),
    ...candidateQuery,
    search: Type.Optional(
      Type.String({ minLength: 1, maxLength: 500, description: 'The start of the name, in any case.' }),
    ),
    created_from: from('Created'),
    created_to: to('Created'),
    expires_from: from('Expires'),
    expires_to: to('Expires, or has expired,'),
    last_used_from: from('Last used'),
    last_used_to: to('Last used'),
    never_used: Type.Optional(Type.Boolean({ description: 'True: never used. False: used at least once.' })),
    rotation_due: Type.Optional(
      Type.Boolean({
        description:
          'True: neither revoked nor expired, and its secret is older than the policy allows (`rotation.every_days`). ' +
          'False: all others. If few tokens are due, reading the first page may take longer.',
      }),
    ),
    sort: Type.Enum([...sorts, ...sorts.map((sort) => `-${sort}` as const)], {
      type: 'string',
      default: '-created_at',
      description:
        'A minus means descending. Names are ordered by their lower-case bytes, whatever the language. Tokens that ' +
        'never expire come last, those never used come first. A token that is used while you page by ' +
        '`last_used_at` moves, and may appear twice or not at all; in other orders each appears exactly once.',
    }),
    ...pageQuery,
  },
  { additionalProperties: false },
)

export const TokenPosition = Type.Object({ value: Type.String(), id: Type.String({ format: 'uuid' }) })

export function parseTokenQuery(
  query: Static<typeof TokenQuery>,
  after: Position | undefined,
): Omit<Query, 'now'> {
  const { status, type, owner, search, never_used: neverUsed, sort, limit } = query
  const { rotation_due: rotationDue } = query
  return {
    ...(status !== undefined && { status }),
    ...(type !== undefined && { type }),
    ...(owner !== undefined && { owner }),
    ...(search !== undefined && { search }),
    ...(neverUsed !== undefined && { neverUsed }),
    ...(rotationDue !== undefined && { rotationDue }),
    created: range(query, 'created_from', 'created_to'),
    expires: range(query, 'expires_from', 'expires_to'),
    lastUsed: range(query, 'last_used_from', 'last_used_to'),
    sort: sort.replace('-', '') as Sort,
    descending: sort.startsWith('-'),
    ...(after && { after }),
    limit,
  }
}

function range<Name extends string>(query: { [name in Name]?: string }, from: Name, to: Name): Range {
  const start = query[from]
  const end = query[to]
  return {
    ...(start !== undefined && { from: new Date(start) }),
    ...(end !== undefined && { to: new Date(end) }),
  }
}
