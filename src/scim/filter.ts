import { AppError } from '../shared/errors.ts'
import { findPath } from './attributes.ts'
import type { Attribute, Comparison, Filter, Path } from './store.ts'

const comparisons = ['eq', 'ne', 'co', 'sw', 'ew', 'gt', 'ge', 'lt', 'le'] as const

const longest = 1_000
const maxDepth = 10
const maxTerms = 40

const space = /\s*/y
/** Attribute names, URNs, operators, `true`, `false` and `null`. */
const word = /[\w$:.-]+/y
const quoted = /"(?:[^"\\]|\\.)*"/y
const subAttribute = /\.[\w$-]+/y

export function parseFilter(text: string): Filter {
  const parser = new Parser(text)
  const filter = parser.filter()
  parser.end()
  return filter
}

/** The path of a PATCH operation (RFC 7644 §3.5.2); `name` is unresolved, since attributes that are not kept are ignored. */
export type PatchPath = { name: string; filter?: string; sub?: string }

/** Splits `emails[type eq "work"].value`. Undefined if the text is not a path. */
export function parsePath(text: string): PatchPath | undefined {
  const [, name = '', filter, sub] = /^([\w$:.-]+)(?:\[(.*)\](?:\.([\w$-]+))?)?$/s.exec(text) ?? []
  if (name === '' || text.length > longest) return undefined
  return { name, ...(filter !== undefined && { filter }), ...(sub !== undefined && { sub }) }
}

/** The filter in the brackets of `emails[…]`. */
export function parseElementFilter(text: string, attribute: Attribute): Filter {
  const parser = new Parser(text)
  const filter = parser.filter(attribute)
  parser.end()
  return filter
}

/** A recursive descent over the text, which it reads once; depth and number of terms are bounded. */
class Parser {
  readonly #text: string
  #position = 0
  #depth = 0
  #terms = 0

  constructor(text: string) {
    if (text.length > longest) fail(`is longer than ${longest} characters`)
    this.#text = text
  }

  /** `within`: in brackets, names are those of sub-attributes. */
  filter(within?: Attribute): Filter {
    if (++this.#depth > maxDepth) fail(`is nested more than ${maxDepth} levels deep`)
    const filters = [this.#conjunction(within)]
    while (this.#accept('or')) filters.push(this.#conjunction(within))
    this.#depth -= 1
    return joined('or', filters)
  }

  end(): void {
    this.#skip(space)
    if (this.#position < this.#text.length) fail(`is not understood from character ${this.#position + 1} on`)
  }

  #conjunction(within: Attribute | undefined): Filter {
    const filters = [this.#term(within)]
    while (this.#accept('and')) filters.push(this.#term(within))
    return joined('and', filters)
  }

  #term(within: Attribute | undefined): Filter {
    if (++this.#terms > maxTerms) fail(`has more than ${maxTerms} comparisons`)
    if (this.#accept('not')) return { op: 'not', filter: this.#group(within) }
    if (this.#next() === '(') return this.#group(within)
    const name = this.#skip(word) ?? fail(`needs an attribute at character ${this.#position + 1}`)
    const path =
      findPath(within ? `${within.name}.${name}` : name) ?? fail(`names an unknown attribute: ${name}`)
    if (this.#text[this.#position] === '[') return this.#elements(path)
    return this.#comparison(path)
  }

  #group(within: Attribute | undefined): Filter {
    this.#expect('(')
    const filter = this.filter(within)
    this.#expect(')')
    return filter
  }

  #elements({ attribute, sub }: Path): Filter {
    if (sub || attribute.type !== 'complex' || !attribute.multiValued)
      fail(`has brackets after ${attribute.name}, which is not multi-valued`)
    this.#expect('[')
    const filter = this.filter(attribute)
    this.#expect(']')
    // Not in the grammar, but Entra sends `emails[type eq "work"].value eq "…"`.
    const name = this.#skip(subAttribute)
    if (name === undefined) return { op: 'any', attribute, filter }
    const path =
      findPath(attribute.name + name) ?? fail(`names an unknown attribute: ${attribute.name}${name}`)
    return { op: 'any', attribute, filter: joined('and', [filter, this.#comparison(path)]) }
  }

  #comparison(path: Path): Filter {
    const operator = this.#word()?.toLowerCase()
    if (operator === 'pr') return { op: 'pr', path }
    const op =
      comparisons.find((one) => one === operator) ?? fail(`has an unknown operator: ${operator ?? ''}`)
    const compared = comparable(path)
    return { op, path: compared, value: valueFor(compared, op, this.#value()) }
  }

  #value(): unknown {
    this.#skip(space)
    const literal = this.#skip(quoted) ?? this.#skip(word)
    try {
      return JSON.parse(literal?.startsWith('"') ? literal : (literal?.toLowerCase() ?? ''))
    } catch {
      return fail('has a value that is neither a quoted string nor true, false or null')
    }
  }

  #word(): string | undefined {
    this.#skip(space)
    return this.#skip(word)
  }

  #accept(keyword: string): boolean {
    const before = this.#position
    if (this.#word()?.toLowerCase() === keyword) return true
    this.#position = before
    return false
  }

  #next(): string | undefined {
    this.#skip(space)
    return this.#text[this.#position]
  }

  #expect(bracket: string): void {
    if (this.#next() !== bracket) fail(`needs ${bracket} at character ${this.#position + 1}`)
    this.#position += 1
  }

  #skip(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#position
    const found = pattern.exec(this.#text)?.[0]
    this.#position += found?.length ?? 0
    return found
  }
}

function joined(op: 'and' | 'or', filters: Filter[]): Filter {
  const [only] = filters
  return only && filters.length === 1 ? only : { op, filters }
}

/** RFC 7643 §2.4: a multi-valued attribute without a sub-attribute means its `value`. */
function comparable({ attribute, sub }: Path): Path & { sub?: { type: string } } {
  if (sub || attribute.type !== 'complex') return sub ? { attribute, sub } : { attribute }
  const value = attribute.multiValued
    ? attribute.subAttributes.find(({ name }) => name === 'value')
    : undefined
  return value ? { attribute, sub: value } : fail(`compares ${attribute.name}, which has only sub-attributes`)
}

const ofBooleans: Comparison[] = ['eq', 'ne']

function valueFor({ attribute, sub }: Path, op: Comparison, value: unknown): string | boolean | null {
  const compared = sub ?? attribute
  const name = sub ? `${attribute.name}.${sub.name}` : attribute.name
  if (value === null && ofBooleans.includes(op)) return null
  if (compared.type === 'boolean') {
    if (!ofBooleans.includes(op)) fail(`compares ${name} with ${op}, but it is a boolean`)
    const isTrue = String(value).toLowerCase() === 'true'
    return isTrue || String(value).toLowerCase() === 'false'
      ? isTrue
      : fail(`compares ${name} with a value of another type`)
  }
  if (compared.type === 'dateTime' && ['co', 'sw', 'ew'].includes(op))
    fail(`compares ${name} with ${op}, but it is an instant`)
  if (typeof value !== 'string') return fail(`compares ${name} with a value of another type`)
  return compared.type === 'dateTime' ? instant(name, value) : value
}

function instant(name: string, text: string): string {
  const date = new Date(/^\d{4}-\d\d-\d\dT/.test(text) ? text : Number.NaN)
  const year = date.getUTCFullYear()
  return year >= 1 && year <= 9999
    ? date.toISOString()
    : fail(`compares ${name} with a value that is not an instant, such as 2026-03-01T12:00:00Z`)
}

function fail(detail: string): never {
  throw new AppError('invalid_request', `The filter ${detail}.`, { scimType: 'invalidFilter' })
}
