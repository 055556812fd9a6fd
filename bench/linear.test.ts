// Inputs that could make parsers slow: four times as much of one may take little more than four times as long.
import t, { type Test } from 'tap'
import { presentedIn, presentedInAuthorization } from '../src/authentication/presented-credential.ts'
import { preferredType } from '../src/http/accept.ts'
import { addressBehind } from '../src/http/address.ts'
import { openCursor } from '../src/http/cursor.ts'
import { expectedVersions, matchesEtag } from '../src/http/etag.ts'
import { formats } from '../src/http/formats.ts'
import { idempotencyKey } from '../src/http/idempotency-key.ts'
import { fitForLog } from '../src/http/log.ts'
import { rejectUnsafeText } from '../src/http/reject-unsafe-text.ts'
import { createMetadata } from '../src/issuers/metadata.ts'
import { addressOf } from '../src/issuers/verify.ts'
import { createRemoteJwks } from '../src/outbound/remote-jwks.ts'
import { callerNetwork, isNetwork, plainAddress } from '../src/shared/addresses.ts'
import { parseCursor } from '../src/shared/feed-cursor.ts'
import { flawOfJson } from '../src/shared/json.ts'
import { holdsSecret, maskSecrets, Secret } from '../src/shared/secret.ts'
import { hasTokenInQuery } from '../src/verification/original.ts'
import { createWorld } from '../test/support/world.ts'

/** The maximum length of a body; header fields may have a quarter of it. */
const longest = 64 * 1024 - 512
/** 4 if the time is linear, 16 if it is quadratic. */
const mostGrowth = 9
/** A few nanoseconds for each character are not quadratic. */
const negligibleMs = 0.1

type Run = (text: string) => unknown
type Shape = (length: number) => string

const repeated =
  (unit: string, start = '', end = ''): Shape =>
  (length) =>
    start + unit.repeat(Math.ceil((length - start.length - end.length) / unit.length)) + end

/** Repetitions of the parts of tokens, lists, addresses and encodings, between their beginnings and ends. */
const units = [
  'a',
  '0',
  '_',
  '-a',
  ' ',
  ',',
  ', a',
  ';',
  ';a=b',
  '"',
  '\\"',
  '"a",',
  '/',
  '=',
  '&a=b',
  '%',
  '%41',
  '.',
  ':',
]
const ofUnits = Object.fromEntries(units.map((unit) => [JSON.stringify(unit), repeated(unit)]))
const between = (start: string, end = '') =>
  Object.fromEntries(units.map((unit) => [`${start}${unit}…${end}`, repeated(unit, start, end)]))

const inSecrets = {
  ...ofUnits,
  'ends of tokens without a beginning': repeated(`_${'0'.repeat(36)}-`),
  'beginnings of tokens without an end': repeated('-a_'),
  'tokens with a wrong checksum': repeated(`a_${'0'.repeat(36)} `),
  'beginnings of JWTs': repeated('eyJa.'),
  'separate beginnings of JWTs': repeated(' eyJa.eyJa'),
  'a JWT without a signature': repeated('a', 'eyJa.eyJ'),
}
const base64url = (text: string) => Buffer.from(text).toString('base64url')
const jwts = {
  'a long claim': (length: number) =>
    `eyJa.${base64url(`{"iss":"https://a","b":"${'a'.repeat(length * 0.7)}"}`)}.a`,
  'many audiences': (length: number) =>
    `eyJa.${base64url(`{"iss":"https://a","aud":[${'0,'.repeat(length * 0.35)}0]}`)}.a`,
  'nested claims': (length: number) =>
    `eyJa.${base64url(`{"iss":${'['.repeat(length * 0.35)}${']'.repeat(length * 0.35)}}`)}.a`,
  'many dots': repeated('.', 'eyJ'),
}
const json = {
  'nested arrays': (length: number) => '['.repeat(length / 2) + ']'.repeat(length / 2),
  'nested objects': (length: number) => '{"a":'.repeat(length / 6) + 1 + '}'.repeat(length / 6),
  'an open array': repeated('['),
  'many values': repeated('0,', '[', '0]'),
  'many members': (length: number) => `{${Array.from({ length: length / 10 }, (_, i) => `"${i}":0`)}}`,
  'one member many times': repeated('"a":0,', '{', '"a":0}'),
  'a long string': repeated('a', '{"name":"', '"}'),
  'a string of escapes': repeated('\\u0061', '{"name":"', '"}'),
  'a string of ends of tokens': repeated(`_${'0'.repeat(36)}-`, '{"name":"', '"}'),
  'a long number': repeated('1', '{"name":', '}'),
  'spaces after a name that prototypes have': repeated(' ', '{"__proto__"', ':0}'),
  'names that prototypes have': repeated('"__proto__" ', '{'),
  spaces: repeated(' ', '{', '}'),
}

const header = (name: string, text: string) => ({ headers: { [name]: text } })
const attempt = (run: () => unknown): unknown => {
  try {
    return run()
  } catch (error) {
    return error
  }
}
/** As `fetchJson` of outbound/ reads a document. */
function fetched(text: string): unknown {
  const document = JSON.parse(text)
  if (flawOfJson(document)) throw new Error('too deep, or too many values')
  return document
}

const proxied = addressBehind(['0.0.0.0/0', '::/0'])

const parsers: Record<string, { run: Run; shapes: Record<string, Shape> }> = {
  'Authorization, Bearer': {
    run: (text) => attempt(() => presentedInAuthorization(text, 'client')),
    shapes: between('Bearer ', '!'),
  },
  'Authorization, Basic': {
    run: (text) =>
      attempt(() => presentedInAuthorization(`Basic ${Buffer.from(text).toString('base64')}`, 'client')),
    shapes: ofUnits,
  },
  'a list of header fields': {
    run: (text) => attempt(() => presentedIn(text.split(''), { basic: 'no', fields: ['x-token'] })),
    shapes: ofUnits,
  },
  'the format of a token': {
    run: (text) => [new Secret(text).isMistyped(), new Secret(text).isJws(), new Secret(text).hint()],
    shapes: { ...inSecrets, ...between('a_') },
  },
  'tokens in a text': { run: (text) => [holdsSecret(text), maskSecrets(text)], shapes: inSecrets },
  'texts in the log': { run: fitForLog, shapes: inSecrets },
  'the issuer of a JWT': { run: (text) => addressOf(new Secret(text)), shapes: jwts },
  'a cursor': { run: (text) => openCursor(Buffer.alloc(32), 'list', text), shapes: ofUnits },
  'a cursor of the feed': { run: parseCursor, shapes: { ...ofUnits, ...between('00000000.') } },
  'X-Forwarded-For': {
    run: (text) =>
      proxied({ socket: { remoteAddress: '10.0.0.1' }, ...header('x-forwarded-for', text) } as never),
    shapes: { ...ofUnits, addresses: repeated('10.0.0.1, '), 'IPv6 with ports': repeated('[::1]:1,') },
  },
  'an address': {
    run: (text) => [plainAddress(text), isNetwork(text), callerNetwork(text)],
    shapes: { ...ofUnits, ...between('[', ']'), ...between('::', '/0') },
  },
  Accept: {
    run: (text) => attempt(() => preferredType(text, ['application/json', 'text/plain'])),
    shapes: { ...ofUnits, ...between('a/b'), ...between('a/b;a="'), ranges: repeated('a/b;q=0.1,') },
  },
  'Idempotency-Key': {
    run: (text) => attempt(() => idempotencyKey(header('idempotency-key', text) as never)),
    shapes: { ...ofUnits, ...between('"'), ...between('"', '"') },
  },
  'If-Match and If-None-Match': {
    run: (text) => [
      attempt(() => expectedVersions(header('if-match', text) as never)),
      matchesEtag(text, '"1"'),
    ],
    shapes: {
      ...ofUnits,
      ...between('"'),
      ...between('W/"', '"'),
      tags: repeated('"1-gzip", '),
      open: repeated('"a"'),
    },
  },
  'the original URL of a gateway': {
    run: (text) => hasTokenInQuery({ 'x-original-uri': text }, undefined),
    shapes: between('/?'),
  },
  'formats of values': {
    run: (text) => Object.values(formats).map(({ validate }) => validate(text)),
    shapes: {
      ...ofUnits,
      ...between('2026-03-01T12:00:00.', 'Z'),
      fraction: repeated('0', '2026-03-01T12:00:00.', 'Z'),
    },
  },
  JSON: { run: (text) => attempt(() => flawOfJson(JSON.parse(text))), shapes: json },
  'texts in a body': {
    run: (text) => rejectUnsafeText({ params: {}, query: {}, body: { a: text } } as never).catch(() => {}),
    shapes: inSecrets,
  },
  'the metadata of an issuer': {
    run: (text) =>
      createMetadata({ fetchJson: async () => fetched(text) })('https://issuer.example', '').catch(() => {}),
    shapes: json,
  },
  'a fetched JWK Set': {
    run: async (text) => {
      const jwks = createRemoteJwks(
        async () => fetched(text),
        () => 0,
      )
      const keys = jwks('https://issuer.example', '')
      await Promise.resolve(keys({ alg: 'RS256' }, { payload: '', signature: '' })).catch(() => {})
    },
    shapes: {
      ...json,
      keys: repeated('{"kty":"RSA","n":"AQAB","e":"AQAB"},', '{"keys":[', '{}]}'),
      'a long key': repeated('A', '{"keys":[{"kty":"RSA","e":"AQAB","n":"', '"}]}'),
    },
  },
}

async function timeOf(run: Run, text: string): Promise<number> {
  const start = performance.now()
  await run(text)
  return performance.now() - start
}

/**
 * How many times longer four times the input takes. The fastest attempt measures the work itself; the rest of the
 * machine only slows the others down, so attempts continue until the growth is small, or cannot become small.
 */
async function growthOf(run: Run, shape: Shape): Promise<number> {
  const [short, long] = [shape(longest / 4), shape(longest)]
  const least = { short: Number.POSITIVE_INFINITY, long: Number.POSITIVE_INFINITY }
  let growth = Number.POSITIVE_INFINITY
  for (let attempt = 0; attempt < 100 && !(growth < mostGrowth); attempt++) {
    least.long = Math.min(least.long, await timeOf(run, long))
    if (least.long < negligibleMs) return 0
    for (let i = 0; i < 3; i++) least.short = Math.min(least.short, await timeOf(run, short))
    if (attempt > 1) growth = least.long / least.short
    // A single run of a quadratic function may take seconds.
    if (attempt > 2 && least.long > 100) break
  }
  return growth
}

async function isLinear(t: Test, run: Run, shapes: Record<string, Shape>): Promise<void> {
  for (const [name, shape] of Object.entries(shapes)) {
    const growth = await growthOf(run, shape)
    t.ok(growth < mostGrowth, `${name}: ${growth.toFixed(1)} times as long`)
  }
}

t.test('the measurement finds what is quadratic', async (t) => {
  const run = (text: string) => /(?:-a)+!/.test(text)
  t.ok((await growthOf(run, repeated('-a'))) >= mostGrowth)
})

for (const [name, { run, shapes }] of Object.entries(parsers))
  t.test(`work grows in proportion to the input: ${name}`, (t) => isLinear(t, run, shapes))

const world = await createWorld(t, { logLevel: 'error' })
const tokens = '/v1/organizations/default/tokens'
const received: typeof parsers = {
  'a form': {
    run: (form) => world.ask('POST', '/introspect', { form }),
    shapes: { ...ofUnits, ...between('token=') },
  },
  'a body of JSON': { run: (body) => world.ask('POST', tokens, { body }), shapes: json },
  'Content-Type': {
    run: (type) => world.ask('POST', tokens, { body: '{}', headers: { 'content-type': type } }),
    shapes: { ...between('application/json'), ...between('application/json;a="') },
  },
  'a query': {
    run: (query) => world.ask('GET', `${tokens}?${query}`),
    shapes: { ...ofUnits, ...between('search=') },
  },
}

for (const [name, { run, shapes }] of Object.entries(received))
  t.test(`a request takes time in proportion to its length: ${name}`, (t) => isLinear(t, run, shapes))
