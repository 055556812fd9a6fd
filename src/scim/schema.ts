import { type Static, type TSchema, Type } from 'typebox'
import type { DirectoryUser } from '../db/tables.ts'
import { etag } from '../http/etag.ts'
import { answer, DateTime, type HeaderName, ref } from '../http/schemas.ts'
import { scimType } from '../http/scim-error.ts'
import { AppError } from '../shared/errors.ts'
import { findPath, isObject, userSchema } from './attributes.ts'
import type { Path } from './store.ts'
import { valuesOf } from './users.ts'

const listSchema = 'urn:ietf:params:scim:api:messages:2.0:ListResponse'
export const maxResults = 200

const Schemas = (urn: string) =>
  Type.Array(Type.String(), { description: 'The URNs of its schemas.', examples: [[urn]] })

const Name = Type.Object({
  formatted: Type.Optional(Type.String({ examples: ['Ada Lovelace'] })),
  familyName: Type.Optional(Type.String({ examples: ['Lovelace'] })),
  givenName: Type.Optional(Type.String({ examples: ['Ada'] })),
})

const Email = Type.Object({
  value: Type.Optional(Type.String({ examples: ['ada@example.com'] })),
  display: Type.Optional(Type.String({ examples: ['Ada Lovelace'] })),
  type: Type.Optional(Type.String({ examples: ['work'] })),
  primary: Type.Optional(Type.Boolean({ examples: [true] })),
})

/** Every member but `id` and `schemas` can be left out by `attributes` and `excludedAttributes`. */
export const ScimUser = Type.Object(
  {
    schemas: Schemas(userSchema),
    id: Type.String({ examples: ['019aa0c4-7c1e-7d43-9f53-0b8f1d2b3c4d'] }),
    externalId: Type.Optional(Type.String({ examples: ['00u1ab2cd3'] })),
    userName: Type.Optional(Type.String({ examples: ['ada@example.com'] })),
    name: Type.Optional(Name),
    displayName: Type.Optional(Type.String({ examples: ['Ada Lovelace'] })),
    active: Type.Optional(Type.Boolean({ description: 'What the directory says.', examples: [true] })),
    emails: Type.Optional(Type.Array(Email)),
    meta: Type.Optional(
      Type.Object({
        resourceType: Type.Optional(Type.String({ examples: ['User'] })),
        created: Type.Optional(DateTime()),
        lastModified: Type.Optional(DateTime()),
        location: Type.Optional(Type.String({ format: 'uri' })),
        version: Type.Optional(Type.String({ examples: ['"1"'] })),
      }),
    ),
  },
  { $id: 'ScimUser', description: 'A user of the directory (RFC 7643 §4.1).' },
)

const body = { additionalProperties: true }
const Anything = (description: string, example: unknown) =>
  Type.Unsafe<unknown>({ description, examples: [example] })

/** Read by `valuesIn`, since names are case-insensitive and directories write values in several ways. */
export const ScimUserInput = Type.Object(
  {
    schemas: Anything('The URNs of the schemas.', [userSchema]),
    userName: Anything('The name of the user in the directory; required.', 'ada@example.com'),
    externalId: Anything('The id of the user in the directory.', '00u1ab2cd3'),
    name: Anything('The name of the person.', { givenName: 'Ada', familyName: 'Lovelace' }),
    displayName: Anything('The name to display.', 'Ada Lovelace'),
    active: Anything('Whether the user may use their tokens. Also as a string.', true),
    emails: Anything('E-mail addresses.', [{ value: 'ada@example.com', type: 'work', primary: true }]),
  },
  {
    $id: 'ScimUserInput',
    ...body,
    required: [],
    description: 'A user; attributes that are not listed here are ignored.',
  },
)

const patchSchema = 'urn:ietf:params:scim:api:messages:2.0:PatchOp'
export const ScimPatch = Type.Object(
  {
    schemas: Anything('The URN of the message.', [patchSchema]),
    Operations: Anything('What to add, replace and remove.', [
      { op: 'replace', path: 'active', value: true },
    ]),
  },
  { $id: 'ScimPatch', ...body, required: [], description: 'Changes to a user (RFC 7644 §3.5.2).' },
)

const query = {
  filter: Type.Optional(
    Type.String({ description: 'Which users to list, such as `userName eq "ada@example.com"`.' }),
  ),
  startIndex: Type.Optional(
    Type.Integer({ description: 'The number of the first user of the page, from 1 on.', ...safe() }),
  ),
  count: Type.Optional(
    Type.Integer({ description: `How many users to list, ${maxResults} at most.`, ...safe() }),
  ),
}

/** Larger numbers are not exact, and no count reaches them. */
function safe() {
  return { minimum: -2_147_483_648, maximum: 2_147_483_647 }
}

const listed = {
  attributes: Type.Optional(
    Type.String({ description: 'The only attributes to return, separated by commas.' }),
  ),
  excludedAttributes: Type.Optional(
    Type.String({ description: 'Attributes not to return, separated by commas.' }),
  ),
}

export const ScimItemQuery = Type.Object(listed)
export const ScimListQuery = Type.Object({ ...query, ...listed })

const Names = (description: string) =>
  Type.Optional(Type.Array(Type.String(), { description, maxItems: 100 }))
export const ScimSearch = Type.Object(
  {
    schemas: Type.Optional(Schemas('urn:ietf:params:scim:api:messages:2.0:SearchRequest')),
    ...query,
    attributes: Names('The only attributes to return.'),
    excludedAttributes: Names('Attributes not to return.'),
  },
  {
    $id: 'ScimSearch',
    ...body,
    description: 'A query in a body (RFC 7644 §3.4.3).',
    examples: [{ filter: 'userName eq "ada@example.com"', count: 10 }],
  },
)

const listMembers = {
  schemas: Schemas(listSchema),
  totalResults: Type.Integer({ examples: [1] }),
  startIndex: Type.Integer({ examples: [1] }),
  itemsPerPage: Type.Integer({ examples: [1] }),
}

export const ScimUserList = Type.Object(
  { ...listMembers, Resources: Type.Array(ref(ScimUser)) },
  { $id: 'ScimUserList', description: 'A page of users (RFC 7644 §3.4.2).' },
)

export const ScimList = Type.Object(
  { ...listMembers, Resources: Type.Array(Type.Object({}, { additionalProperties: true })) },
  { $id: 'ScimList', description: 'A list of resources (RFC 7644 §3.4.2).' },
)

/** RFC 7643 §5 to §7; the documents are constant. */
export const ScimDocument = Type.Object(
  { schemas: Schemas('urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig') },
  { $id: 'ScimDocument', additionalProperties: true, description: 'What the SCIM service supports.' },
)

export const ScimUserParams = Type.Object({
  user: Type.String({
    description: 'The id of the user.',
    examples: ['019aa0c4-7c1e-7d43-9f53-0b8f1d2b3c4d'],
  }),
})

export const components = [
  ScimUser,
  ScimUserInput,
  ScimPatch,
  ScimSearch,
  ScimUserList,
  ScimList,
  ScimDocument,
]

/** A response of SCIM's media type. */
export function scimAnswer<T extends TSchema>(schema: T, description: string, ...names: HeaderName[]) {
  const { content, ...rest } = answer(schema, description, ...names)
  return { ...rest, content: { [scimType]: content['application/json'] } }
}

export type Projection = (user: Static<typeof ScimUser>) => Static<typeof ScimUser>

/**
 * The attributes to return (RFC 7644 §3.9): only those named, or all but those named; `id` and `schemas` always. Names
 * of attributes that are not stored are ignored.
 */
export function projection(
  attributes: string[] | undefined,
  excludedAttributes: string[] | undefined,
): Projection {
  if (attributes?.length && excludedAttributes?.length)
    throw new AppError('invalid_request', 'Give attributes or excludedAttributes, but not both.', {
      scimType: 'invalidValue',
    })
  if (attributes?.length) {
    const paths = pathsOf(attributes)
    return (user) => ({ ...only(user, paths), schemas: user.schemas, id: user.id })
  }
  const paths = pathsOf(excludedAttributes ?? []).filter(({ attribute: { name } }) => !always.includes(name))
  return paths.length === 0 ? (user) => user : (user) => paths.reduce(without, user)
}

const always = ['schemas', 'id']

export function projectionOf({ attributes, excludedAttributes }: Static<typeof ScimItemQuery>): Projection {
  const names = (list: string | undefined) => list?.split(',', 100).map((name) => name.trim())
  return projection(names(attributes), names(excludedAttributes))
}

function pathsOf(names: string[]): Path[] {
  return names.flatMap((name) => findPath(name) ?? [])
}

function only(user: object, paths: Path[]): object {
  const values = new Map<string, unknown>(Object.entries(user))
  const kept: Record<string, unknown> = {}
  for (const { attribute, sub } of paths) {
    const value = values.get(attribute.name)
    if (value === undefined) continue
    if (sub) kept[attribute.name] = merged(kept[attribute.name], value, sub.name)
    else kept[attribute.name] = value
  }
  return kept
}

/** The members of a complex value so far, and one more. */
function merged(kept: unknown, value: unknown, name: string): unknown {
  if (Array.isArray(value))
    return value.map((element, index) => merged(Array.isArray(kept) ? kept[index] : undefined, element, name))
  const member = isObject(value) ? new Map(Object.entries(value)).get(name) : undefined
  return { ...(isObject(kept) && kept), ...(member !== undefined && { [name]: member }) }
}

function without<T extends object>(user: T, { attribute, sub }: Path): T {
  const entries = Object.entries(user).flatMap(([name, value]): [string, unknown][] => {
    if (name !== attribute.name) return [[name, value]]
    return sub ? [[name, dropped(value, sub.name)]] : []
  })
  return Object.fromEntries(entries) as T
}

function dropped(value: unknown, name: string): unknown {
  if (Array.isArray(value)) return value.map((element) => dropped(element, name))
  return isObject(value) ? Object.fromEntries(Object.entries(value).filter(([key]) => key !== name)) : value
}

export function presentUser(user: DirectoryUser, url: string): Static<typeof ScimUser> {
  return {
    schemas: [userSchema],
    id: user.id,
    ...valuesOf(user),
    meta: {
      resourceType: 'User',
      created: user.createdAt.toISOString(),
      lastModified: user.updatedAt.toISOString(),
      location: `${url}/Users/${user.id}`,
      version: etag(user),
    },
  }
}

export function listOf<T>(resources: T[], total = resources.length, startIndex = 1) {
  return {
    schemas: [listSchema],
    totalResults: total,
    startIndex,
    itemsPerPage: resources.length,
    Resources: resources,
  }
}
