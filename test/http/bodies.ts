import fc from 'fast-check'
import type { Operation } from './contract.ts'
import { encode, json, text } from './values.ts'

/** Bodies close to the examples of the document, broken ones, and arbitrary ones. */
export function bodyFor({
  type,
  examples,
}: NonNullable<Operation['body']>): fc.Arbitrary<string | undefined> {
  const example = fc.constantFrom(...examples)
  if (/form/.test(type)) {
    const pairs = fc.array(fc.tuple(fc.oneof(fc.constantFrom('token', 'token_type_hint'), text), text), {
      maxLength: 4,
    })
    const form = (entries: [string, string][]) =>
      entries.map(([name, value]) => `${encode(name)}=${encode(value)}`).join('&')
    return fc.oneof(
      example.map((good) => form(Object.entries<string>(good))),
      fc.tuple(example, pairs).map(([good, more]) => form([...Object.entries<string>(good), ...more])),
      pairs.map(form),
      text,
    )
  }
  const mutated = fc
    .tuple(example, fc.array(mutation, { maxLength: 2 }))
    .map(([good, steps]) => JSON.stringify(steps.reduce(mutate, good)))
  const broken = fc.tuple(mutated, fc.constantFrom(...breakages)).map(([good, damage]) => damage(good))
  const far = fc.oneof(
    json.map((value) => JSON.stringify(value)),
    text,
    fc.constantFrom(...extremes),
  )
  return fc.oneof(
    { weight: 5, arbitrary: mutated },
    { weight: 2, arbitrary: broken },
    { weight: 2, arbitrary: far },
  )
}

type Mutation = { pick: number; action: 'replace' | 'remove' | 'add'; key: string; value: unknown }

const mutation: fc.Arbitrary<Mutation> = fc.record({
  pick: fc.nat(),
  action: fc.constantFrom('replace', 'replace', 'remove', 'add'),
  key: text,
  value: json,
})

/** The value with one of its members, at any depth, replaced, removed or added. */
function mutate(value: any, { pick, action, key, value: other }: Mutation): any {
  if (typeof value !== 'object' || value === null) return other
  if (action === 'add' && !Array.isArray(value)) return { ...value, [key]: other }
  const keys = Object.keys(value)
  const chosen = keys[pick % keys.length]
  if (chosen === undefined) return other
  const member = value[chosen]
  const copy = Array.isArray(value) ? [...value] : { ...value }
  if (action === 'remove') delete copy[chosen]
  else if (typeof member === 'object' && member !== null && pick % 2 === 0)
    copy[chosen] = mutate(member, { pick: pick >> 1, action, key, value: other })
  else copy[chosen] = other
  return copy
}

const breakages: ((json: string) => string)[] = [
  (json) => json.slice(0, -1),
  (json) => `${json}${json}`,
  (json) => `\ufeff${json}`,
  (json) => json.replace('{', '{"name":"first","name":"second",'),
  (json) => json.replace('{', '{"__proto__":{"type":"management"},'),
  (json) => json.replace('{', '{"constructor":{"prototype":{"type":"management"}},'),
  (json) => json.replace(/:("[^"]*"|\d+)/, ':1e400'),
  (json) => json.replace(/:("[^"]*"|\d+)/, ':"\\ud800"'),
  (json) => json.replace(/:("[^"]*"|\d+)/, ':"\\u0000"'),
]

const extremes = [
  '['.repeat(30_000),
  '{"a":'.repeat(9000),
  `{"name":${'['.repeat(9000)}${']'.repeat(9000)}}`,
  'x'.repeat(70_000),
  '-',
  'undefined',
  '{}',
  'null',
]
