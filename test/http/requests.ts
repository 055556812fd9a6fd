import fc from 'fast-check'
import type { Operation, Parameter } from './contract.ts'

export type Request = {
  path: string
  query: string
  headers: Record<string, string>
  body: string | undefined
}

/** What PostgreSQL cannot store, what JavaScript has special names for, and what parsers trip over. */
const nasty = fc.constantFrom(
  ...[
    '',
    ' ',
    '\0',
    'a\0b',
    '\ud800',
    'x\udfff',
    '\u202e',
    '\uffff',
    '💥',
    "'; drop table tokens; --",
    '%00',
    '../..',
  ],
  ...[
    '__proto__',
    'constructor',
    'toString',
    'hasOwnProperty',
    'null',
    'NaN',
    '-1',
    '1e400',
    '9'.repeat(400),
  ],
  ...[
    '0000-00-00T00:00:00Z',
    '2026-12-31T23:59:60Z',
    '+275760-09-13T00:00:00.000Z',
    '9999-12-31T23:59:59.999999999Z',
  ],
  ...['00000000-0000-0000-0000-000000000000', 'x'.repeat(10_001), 'https://x/{organization}{organization}'],
)
const text = fc.oneof(nasty, fc.string({ unit: 'binary', maxLength: 60 }), fc.string({ maxLength: 60 }))
const json = fc.oneof(
  text,
  fc.jsonValue({ depthSize: 'small' }),
  fc.double(),
  fc.maxSafeInteger(),
  fc.constant(null),
)

/** Requests for one operation: mostly near to what it takes, sometimes far from it. */
export function requestFor(operation: Operation, known: () => Record<string, string>): fc.Arbitrary<Request> {
  const { parameters } = operation
  const inPath = parameters.filter((parameter) => parameter.in === 'path')
  return fc.record({
    path: fc
      .tuple(
        ...inPath.map(() => fc.oneof({ weight: 6, arbitrary: fc.constant(undefined) }, text.map(encode))),
      )
      .map((given) =>
        inPath.reduce(
          (path, { name }, i) => path.replace(`{${name}}`, given[i] ?? known()[name] ?? ''),
          operation.path,
        ),
      ),
    query: queryFor(parameters.filter((parameter) => parameter.in === 'query')),
    headers: headersFor(operation),
    body: operation.body
      ? bodyFor(operation.body)
      : fc.option(
          json.map((value) => JSON.stringify(value)),
          { nil: undefined, freq: 8 },
        ),
  })
}

function queryFor(declared: Parameter[]): fc.Arbitrary<string> {
  const pairs = declared.map(({ name, schema }) =>
    fc.tuple(fc.constant(name), fc.oneof(plausible(schema), text)),
  )
  const pair = fc.oneof(
    { weight: 4, arbitrary: fc.oneof(...pairs, fc.tuple(text, text)) },
    fc.tuple(text, text),
  )
  const encoded = fc
    .array(pair, { maxLength: 3 })
    .map((some) => some.map(([name, value]) => `${encode(name)}=${encode(value)}`).join('&'))
  return fc.oneof(
    { weight: 5, arbitrary: encoded },
    fc.constant(''),
    fc.constantFrom('%', '%zz=%', '&&==', 'limit[]=1', 'a[b]=c'),
  )
}

function plausible({ enum: values, type, examples, minimum = 0, maximum = 100 }: any): fc.Arbitrary<string> {
  if (values) return fc.constantFrom(...values)
  if (type === 'integer') return fc.integer({ min: minimum - 1, max: maximum + 1 }).map(String)
  return examples ? fc.constantFrom(...examples) : fc.constantFrom('api', 'u-4711', '2026-03-01T12:00:00Z')
}

function headersFor({ body }: Operation): fc.Arbitrary<Record<string, string>> {
  const types = [
    'application/json',
    'application/x-www-form-urlencoded',
    'text/plain',
    'application/xml',
    'application/json; charset=latin1',
    'x',
    '',
  ]
  const right = fc.constant(body?.type)
  const value = fc.string({
    unit: fc.integer({ min: 0x21, max: 0xff }).map((code) => String.fromCharCode(code)),
    maxLength: 40,
  })
  const optional = fc.record(
    {
      'if-match': fc.oneof(fc.constantFrom('*', '"1"', 'W/"1"', '"1", "2"', '"99999999999999999999"'), value),
      accept: fc.constantFrom('text/html', 'application/xml', 'x'),
      'accept-encoding': value,
      'x-forwarded-for': fc.oneof(fc.constantFrom('127.0.0.1', "'", '::1%lo'), value),
      'x-request-id': value,
    },
    { requiredKeys: [] },
  )
  const type = fc.oneof({ weight: 8, arbitrary: right }, fc.constantFrom(...types), fc.constant(undefined))
  return fc
    .tuple(optional, type)
    .map(([headers, type]) => (type === undefined ? headers : { ...headers, 'content-type': type }))
}

function bodyFor({ type, examples }: NonNullable<Operation['body']>): fc.Arbitrary<string | undefined> {
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

/** The value with one of its members, at any depth, replaced or removed, or with one more. */
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

/** Percent-encodes everything, lone surrogates too, so that the request itself is valid HTTP. */
function encode(text: string): string {
  return [...Buffer.from(text)].map((byte) => `%${byte.toString(16).padStart(2, '0')}`).join('')
}
