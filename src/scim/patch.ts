import { isDeepStrictEqual } from 'node:util'
import {
  canonical,
  canonicalComplex,
  canonicalElement,
  findPath,
  findWritablePath,
  isObject,
  isSame,
  readOnly,
  scimError,
  set,
  simple,
  type UserValues,
} from './attributes.ts'
import { type PatchPath, parseElementFilter, parsePath } from './filter.ts'
import type { Attribute, Filter, Path } from './store.ts'

const messageSchema = 'urn:ietf:params:scim:api:messages:2.0:PatchOp'
const maxOperations = 100

type Op = 'add' | 'replace' | 'remove'
type Element = Record<string, unknown>

/**
 * The values after the operations of a PATCH (RFC 7644 §3.5.2). All of them are applied, or the first one that cannot
 * be throws.
 */
export function patched(before: UserValues, body: unknown): UserValues {
  const values = structuredClone(before)
  for (const operation of operationsIn(body)) apply(values, operation)
  return values
}

function operationsIn(body: unknown): unknown[] {
  const { schemas, Operations: operations } = isObject(body) ? body : {}
  if (Array.isArray(schemas) && !schemas.some((one) => isSame(one, messageSchema)))
    throw scimError('invalidSyntax', 'schemas', `must contain ${messageSchema}`)
  if (!Array.isArray(operations) || operations.length === 0)
    throw scimError('invalidSyntax', 'Operations', 'must be a list of at least one operation')
  if (operations.length > maxOperations)
    throw scimError('invalidSyntax', 'Operations', `can have at most ${maxOperations} operations`)
  return operations
}

function apply(values: UserValues, operation: unknown): void {
  if (!isObject(operation)) throw scimError('invalidSyntax', 'Operations', 'must contain only objects')
  const { path, value } = operation
  const op = opOf(operation.op)
  if (path === undefined || path === null || path === '') {
    if (op === 'remove') throw scimError('noTarget', 'Operations.path', 'is required to remove something')
    if (!isObject(value))
      throw scimError('invalidValue', 'Operations.value', 'must be an object without a path')
    // Directories send back what they read, with `id` and `meta`.
    for (const [name, member] of Object.entries(value))
      if (!isReadOnly(name)) applyAt(values, op, name, member)
  } else {
    if (typeof path !== 'string') throw scimError('invalidPath', 'Operations.path', 'must be a string')
    if (op !== 'remove' && value === undefined)
      throw scimError('invalidValue', 'Operations.value', 'is required to add or replace something')
    if (isReadOnly(path)) throw scimError('mutability', 'Operations.path', 'names a read-only attribute')
    applyAt(values, op, path, value)
  }
}

/** Entra writes `Add`, `Replace` and `Remove`. */
function opOf(op: unknown): Op {
  const found = (['add', 'replace', 'remove'] as const).find((one) => isSame(op, one))
  return found ?? fail('invalidSyntax', 'op', 'must be add, replace or remove')
}

function applyAt(values: UserValues, op: Op, text: string, value: unknown): void {
  const path = parsePath(text) ?? fail('invalidPath', 'path', 'is not a path')
  const target = findWritablePath(path.name)
  if (!target) {
    if (isIgnored(path.name)) return
    fail('invalidPath', 'path', `names an unknown attribute: ${path.name.slice(0, 100)}`)
  }
  const { attribute } = target
  const current = values[attribute.name]
  if (attribute.type === 'complex' && attribute.multiValued) {
    const elements = (current as Element[] | undefined) ?? []
    const { filter, sub } = elementsPath(target, path)
    set(values, attribute, changedElements(elements, op, { attribute, filter, sub }, value))
  } else {
    if (path.filter !== undefined)
      fail('invalidPath', 'path', `has brackets after ${attribute.name}, which is not multi-valued`)
    set(values, attribute, changedValue(current, op, target, value))
  }
}

function changedValue(current: unknown, op: Op, { attribute, sub }: Path, value: unknown): unknown {
  const isGone = op === 'remove' || value === null
  if (isGone && !sub) return undefined
  if (attribute.type !== 'complex') return canonical(attribute, value)
  const members = { ...(current as Element | undefined) }
  if (!sub) Object.assign(members, canonicalComplex(attribute, value))
  else set(members, sub, isGone ? undefined : simple(`${attribute.name}.${sub.name}`, sub, value))
  return canonical(attribute, members)
}

type ElementsPath = {
  attribute: Attribute & { type: 'complex' }
  filter: Filter | undefined
  sub: Path['sub'] | undefined
}

/** A sub-attribute is written before brackets or after them: `emails.value`, `emails[type eq "work"].value`. */
function elementsPath({ attribute, sub }: Path, path: PatchPath): Omit<ElementsPath, 'attribute'> {
  const filter = path.filter === undefined ? undefined : parseElementFilter(path.filter, attribute)
  const after = path.sub === undefined ? sub : findWritablePath(`${attribute.name}.${path.sub}`)?.sub
  if ((path.sub !== undefined && !after) || (sub && filter))
    fail('invalidPath', 'path', `names an unknown sub-attribute of ${attribute.name}`)
  return { filter, sub: after }
}

function changedElements(elements: Element[], op: Op, path: ElementsPath, value: unknown): unknown {
  const { attribute, filter, sub } = path
  const meant = new Set(filter ? elements.filter((element) => matches(element, filter)) : elements)
  const isGone = op === 'remove' || value === null
  if (isGone && !sub) return kept(attribute, filter ? elements.filter((element) => !meant.has(element)) : [])
  if (!filter && !sub) {
    const given = (canonical(attribute, value) as Element[] | undefined) ?? []
    if (op === 'replace') return kept(attribute, given)
    const added = given.filter((one) => !elements.some((element) => isDeepStrictEqual(element, one)))
    return kept(attribute, withPrimary([...elements, ...added], added))
  }
  if (isGone && meant.size === 0) return kept(attribute, elements)
  const member = sub
    ? { [sub.name]: isGone ? undefined : simple(`${attribute.name}.${sub.name}`, sub, value) }
    : canonicalElement(attribute, value)
  if (meant.size > 0) {
    const changed = elements.map((element) => (meant.has(element) ? { ...element, ...member } : element))
    const madePrimary = member.primary === true ? changed.filter((one) => !elements.includes(one)) : []
    return kept(attribute, withPrimary(changed, madePrimary))
  }
  // Entra adds `emails[type eq "work"].value` before such an address exists.
  const implied = filter ? impliedBy(filter) : {}
  if (!implied) throw scimError('noTarget', 'Operations.path', 'matches no value')
  const added = { ...implied, ...member }
  return kept(attribute, withPrimary([...elements, added], [added]))
}

/** Without empty members and elements. */
function kept(attribute: Attribute, elements: Element[]): unknown {
  const full = elements
    .map((element) => Object.fromEntries(Object.entries(element).filter(([, one]) => one !== undefined)))
    .filter((element) => Object.keys(element).length > 0)
  return canonical(attribute, full)
}

/** RFC 7644 §3.5.2: a new primary value makes the previous one non-primary. */
function withPrimary(elements: Element[], changed: Element[]): Element[] {
  if (!changed.some(({ primary }) => primary)) return elements
  const current = new Set(changed)
  return elements.map((element) =>
    element.primary && !current.has(element) ? { ...element, primary: false } : element,
  )
}

/** The element that a filter of `eq` comparisons describes; undefined for other filters. */
function impliedBy(filter: Filter): Element | undefined {
  if (filter.op === 'eq') return filter.path.sub && { [filter.path.sub.name]: filter.value ?? undefined }
  if (filter.op !== 'and') return undefined
  const members = filter.filters.map(impliedBy)
  return members.every((member) => member !== undefined) ? Object.assign({}, ...members) : undefined
}

/** Sub-attributes of multi-valued attributes compare case-insensitively. */
export function matches(element: Element, filter: Filter): boolean {
  if (filter.op === 'and') return filter.filters.every((one) => matches(element, one))
  if (filter.op === 'or') return filter.filters.some((one) => matches(element, one))
  if (filter.op === 'not') return !matches(element, filter.filter)
  if (filter.op === 'any') return false
  const held = filter.path.sub && element[filter.path.sub.name]
  if (filter.op === 'pr') return held !== undefined
  const [value, other] = [held ?? null, filter.value].map((one) =>
    typeof one === 'string' ? one.toLowerCase() : one,
  )
  if (filter.op === 'eq') return value === other
  if (filter.op === 'ne') return value !== other
  return typeof value === 'string' && typeof other === 'string' && textComparisons[filter.op](value, other)
}

const textComparisons = {
  co: (value: string, other: string) => value.includes(other),
  sw: (value: string, other: string) => value.startsWith(other),
  ew: (value: string, other: string) => value.endsWith(other),
  gt: (value: string, other: string) => value > other,
  ge: (value: string, other: string) => value >= other,
  lt: (value: string, other: string) => value < other,
  le: (value: string, other: string) => value <= other,
}

function isReadOnly(name: string): boolean {
  const path = findPath(name)
  return path !== undefined && readOnly.includes(path.attribute)
}

/** Attributes of RFC 7643 §4.1 and of extensions that directories send and that are not stored. */
function isIgnored(name: string): boolean {
  const [first = ''] = name.toLowerCase().split('.')
  return first.startsWith('urn:') || notKept.has(first.replace(/^.*:/, ''))
}

const notKept = new Set(
  [
    'nickName',
    'profileUrl',
    'title',
    'userType',
    'preferredLanguage',
    'locale',
    'timezone',
    'password',
    'phoneNumbers',
    'ims',
    'photos',
    'addresses',
    'groups',
    'entitlements',
    'roles',
    'x509Certificates',
  ].map((name) => name.toLowerCase()),
)

function fail(scimType: 'invalidSyntax' | 'invalidPath', member: string, detail: string): never {
  throw scimError(scimType, `Operations.${member}`, detail)
}
