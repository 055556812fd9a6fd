import { type Static, Type } from 'typebox'
import { pageQuery } from '../../http/pages.ts'
import { DateTime } from '../../http/schemas.ts'
import { fits } from '../../http/validation.ts'
import { AppError } from '../../shared/errors.ts'
import { statuses } from '../../shared/status.ts'
import { plainName } from '../../shared/text.ts'
import { candidateQuery } from '../create/form-schema.ts'
import { Metadata } from '../create/schema.ts'
import { type Position, type TokenQuery as Query, type Range, type Sort, sorts } from './access-path-store.ts'
import { maxCounted } from './store.ts'

const from = (what: string) => Type.Optional(DateTime({ description: `${what} at this instant or later.` }))
const to = (what: string) => Type.Optional(DateTime({ description: `${what} before this instant.` }))

export const TokenQuery = Type.Object(
  {
    status: Type.Optional(
      Type.Enum([...statuses], {
        type: 'string',
        description:
          'Pages can be short if few of the tokens that come first in the list have this status: continue until `next_cursor` is null.',
      }),
    ),
    type: Type.Optional(Type.String({ maxLength: 50 })),
    owner: Type.Optional(Type.String({ maxLength: 255, description: 'The subject of the owner.' })),
    ...candidateQuery,
    search: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 200,
        description:
          'Any part of the name or the comment, in any case. A page examines at most 5,000 tokens and can have few items, or ' +
          'none, although there are more: continue until `next_cursor` is null. So do other filters that many tokens pass, ' +
          'but few of those that come first in the list.',
      }),
    ),
    name: Type.Optional(
      Type.String({ minLength: 1, maxLength: 1000, description: 'The whole name, in any case.' }),
    ),
    name_prefix: Type.Optional(
      Type.String({ minLength: 1, maxLength: 500, description: 'The start of the name, in any case.' }),
    ),
    metadata: Type.Optional(
      Type.String({
        maxLength: 2000,
        description:
          'A JSON object: tokens whose metadata has all of its members with the same values. Pages are as with `search`.',
        examples: ['{"team":"identity"}'],
      }),
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
          'False: all others. Pages are as with `search`.',
      }),
    ),
    sort: Type.Enum([...sorts, ...sorts.map((sort) => `-${sort}` as const)], {
      type: 'string',
      default: '-created_at',
      description:
        'A minus means descending. Names are ordered by their lower-case bytes, regardless of the language. Tokens that ' +
        'never expire come last, those never used come first. A token that is used while you page by ' +
        '`last_used_at` moves, and may appear twice or not at all; in other orders each appears exactly once.',
    }),
    ...pageQuery,
  },
  { additionalProperties: false },
)

export const CountQuery = Type.Object(
  { owner: Type.Optional(Type.String({ maxLength: 255, description: 'The subject of the owner.' })) },
  { additionalProperties: false },
)

const Count = Type.Object({
  count: Type.Integer({ description: `At most ${maxCounted.toLocaleString('en')}: counting stops there.` }),
  more: Type.Boolean({ description: 'Whether there are, or may be, more.' }),
})

export const TokenCounts = Type.Object(
  { active: Count, expired: Count, revoked: Count, not_yet_valid: Count },
  {
    $id: 'TokenCounts',
    description:
      'How many tokens have each status. The cost of counting does not grow with the number of tokens.',
  },
)

export const TokenPosition = Type.Object({ value: Type.String(), id: Type.String({ format: 'uuid' }) })

export function parseTokenQuery(
  query: Static<typeof TokenQuery>,
  after: Position | undefined,
): Omit<Query, 'now'> {
  const { status, type, owner, name, search, never_used: neverUsed, sort, limit } = query
  const { rotation_due: rotationDue } = query
  return {
    ...(status !== undefined && { status }),
    ...(type !== undefined && { type }),
    ...(owner !== undefined && { owner }),
    ...(name !== undefined && { name: plainName(name) }),
    ...(query.name_prefix !== undefined && { namePrefix: query.name_prefix.normalize('NFC') }),
    ...(search !== undefined && { search: search.normalize('NFC') }),
    ...(query.metadata !== undefined && { metadata: parseMetadata(query.metadata) }),
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

function parseMetadata(text: string): Static<typeof Metadata> {
  const metadata = parsed(text)
  if (fits(Metadata, metadata)) return metadata
  const detail = 'must be a JSON object of strings, numbers, booleans and nulls, such as {"team":"identity"}'
  throw new AppError('invalid_request', `query metadata ${detail}`, {
    fields: [{ in: 'query', field: 'metadata', detail }],
  })
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
