import fc from 'fast-check'
import { bodyFor } from './bodies.ts'
import type { Operation, Parameter } from './contract.ts'
import { brokenEncoding, encode, json, text } from './values.ts'

export type Request = {
  path: string
  query: string
  headers: Record<string, string>
  body: string | undefined
}

/** Requests for one operation: mostly close to valid ones, sometimes arbitrary. */
export function requestFor(operation: Operation, known: () => Record<string, string>): fc.Arbitrary<Request> {
  const { parameters } = operation
  const inPath = parameters.filter((parameter) => parameter.in === 'path')
  return fc.record({
    path: fc
      .tuple(
        ...inPath.map(() =>
          fc.oneof({ weight: 6, arbitrary: fc.constant(undefined) }, text.map(encode), brokenEncoding),
        ),
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
    brokenEncoding,
    fc.constantFrom('&&==', 'limit[]=1', 'a[b]=c'),
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
