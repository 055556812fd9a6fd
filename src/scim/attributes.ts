import { AppError, type ScimType } from '../shared/errors.ts'
import type { Attribute, Complex, Path, Simple } from './store.ts'

export const userSchema = 'urn:ietf:params:scim:schemas:core:2.0:User'

const text = (name: string, description: string): Simple => ({ name, type: 'string', description })

/** The attributes of a user that are stored; all others are ignored. */
export const userAttributes: Attribute[] = [
  text('userName', 'The name by which the directory knows the user, unique in the organization.'),
  {
    name: 'name',
    type: 'complex',
    multiValued: false,
    subAttributes: [
      text('formatted', 'The full name.'),
      text('familyName', 'The family name.'),
      text('givenName', 'The given name.'),
    ],
    description: 'The name of the user.',
  },
  text('displayName', 'The name to display.'),
  {
    name: 'active',
    type: 'boolean',
    description: 'Whether the user may use their tokens: false suspends all of them.',
  },
  {
    name: 'emails',
    type: 'complex',
    multiValued: true,
    subAttributes: [
      text('value', 'The e-mail address.'),
      text('display', 'The name of the address, for people.'),
      text('type', 'Such as `work`.'),
      { name: 'primary', type: 'boolean', description: 'Whether it is the primary address; at most one is.' },
    ],
    description: "The user's e-mail addresses.",
  },
]

const externalId: Simple = {
  name: 'externalId',
  type: 'string',
  caseExact: true,
  description: 'The id of the user in the directory.',
}

const exact = { type: 'string', caseExact: true } as const
/** Attributes that only the service sets. */
export const readOnly: Attribute[] = [
  { name: 'id', ...exact, description: 'The id of the user here.' },
  { name: 'schemas', ...exact, description: 'The schemas of the resource.' },
  {
    name: 'meta',
    type: 'complex',
    multiValued: false,
    subAttributes: [
      { name: 'resourceType', ...exact, description: 'User.' },
      { name: 'created', type: 'dateTime', description: 'When the user was created.' },
      { name: 'lastModified', type: 'dateTime', description: 'When the user was last changed.' },
      { name: 'location', ...exact, description: 'The URL of the user.' },
      { name: 'version', ...exact, description: 'The ETag.' },
    ],
    description: 'Facts about the resource.',
  },
]

const byName = (attributes: Attribute[]) => new Map(attributes.map((one) => [one.name.toLowerCase(), one]))
const writable = byName([...userAttributes, externalId])
const readable = byName([...userAttributes, externalId, ...readOnly])

/**
 * The attribute that a name such as `name.familyName` means: names are case-insensitive, and may begin with the URN of
 * the schema (RFC 7644 §3.10). Undefined for attributes that are not stored.
 */
export function findPath(text: string): Path | undefined {
  return pathIn(readable, text)
}

/** As `findPath`, but only for attributes that clients can set. */
export function findWritablePath(text: string): Path | undefined {
  return pathIn(writable, text)
}

function pathIn(attributes: Map<string, Attribute>, text: string): Path | undefined {
  const [name = '', subName, ...more] = withoutSchema(text.toLowerCase()).split('.')
  const attribute = attributes.get(name)
  if (!attribute || more.length > 0) return undefined
  if (subName === undefined) return { attribute }
  const sub =
    attribute.type === 'complex'
      ? attribute.subAttributes.find((one) => one.name.toLowerCase() === subName)
      : undefined
  return sub && { attribute, sub }
}

function withoutSchema(name: string): string {
  const urn = `${userSchema.toLowerCase()}:`
  return name.startsWith(urn) ? name.slice(urn.length) : name
}

/** Members are only ever those of `userAttributes` and `externalId`, so that no name in a request becomes one. */
export type UserValues = Partial<Record<string, unknown>>

/** The attributes in the body of a POST or PUT, in their canonical form. */
export function valuesIn(body: unknown): UserValues {
  if (!isObject(body)) throw scimError('invalidSyntax', '', 'must be an object')
  const { schemas } = body
  if (Array.isArray(schemas) && !schemas.some((one) => isSame(one, userSchema)))
    throw scimError('invalidValue', 'schemas', `must contain ${userSchema}`)
  const values: UserValues = {}
  for (const [name, value] of Object.entries(body)) {
    const path = findWritablePath(name)
    if (path && !path.sub) set(values, path.attribute, canonical(path.attribute, value))
  }
  return values
}

export function set(values: UserValues, { name }: { name: string }, value: unknown): void {
  if (value === undefined) delete values[name]
  else values[name] = value
}

/** RFC 7643 §2.5: null and an empty array mean that the attribute has no value. */
export function canonical(attribute: Attribute, value: unknown): unknown {
  if (value === null || value === undefined || (Array.isArray(value) && value.length === 0)) return undefined
  if (attribute.type !== 'complex') return simple(attribute.name, attribute, value)
  if (!attribute.multiValued) {
    const complex = canonicalComplex(attribute, value)
    return Object.keys(complex).length > 0 ? complex : undefined
  }
  const elements = [value].flat().map((element) => canonicalElement(attribute, element))
  if (elements.length > maxElements)
    throw scimError('invalidValue', attribute.name, `can have at most ${maxElements} values`)
  if (elements.filter(({ primary }) => primary).length > 1)
    throw scimError('invalidValue', attribute.name, 'can have only one primary value')
  return elements
}

/** An element of a multi-valued attribute; a bare string is its `value`. */
export function canonicalElement(attribute: Complex, element: unknown): Record<string, unknown> {
  return canonicalComplex(attribute, typeof element === 'string' ? { value: element } : element)
}

export function canonicalComplex({ name, subAttributes }: Complex, value: unknown): Record<string, unknown> {
  if (!isObject(value)) throw scimError('invalidValue', name, 'must be an object')
  const complex: Record<string, unknown> = {}
  for (const [key, member] of Object.entries(value)) {
    const sub = subAttributes.find((one) => one.name.toLowerCase() === key.toLowerCase())
    if (!sub || member === null) continue
    complex[sub.name] = simple(`${name}.${sub.name}`, sub, member)
  }
  return complex
}

const maxElements = 20
const longest = 255

export function simple(field: string, { type }: Simple, value: unknown): string | boolean {
  if (type === 'boolean') {
    if (typeof value === 'boolean') return value
    // Entra sends booleans as "True" and "False".
    const word = typeof value === 'string' ? value.toLowerCase() : undefined
    if (word === 'true' || word === 'false') return word === 'true'
    throw scimError('invalidValue', field, 'must be true or false')
  }
  if (typeof value !== 'string') throw scimError('invalidValue', field, 'must be a string')
  if (value.length > longest)
    throw scimError('invalidValue', field, `must have at most ${longest} characters`)
  return value
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

export function isSame(value: unknown, name: string): boolean {
  return typeof value === 'string' && value.toLowerCase() === name.toLowerCase()
}

/** A 400 that names a member of the body. */
export function scimError(scimType: ScimType, field: string, detail: string): AppError {
  const subject = field === '' ? 'body' : `body ${field}`
  return new AppError('invalid_request', `${subject} ${detail}`, {
    scimType,
    fields: [{ in: 'body', field, detail }],
  })
}
