import fc from 'fast-check'

/** Strings that PostgreSQL cannot store, that JavaScript uses as special names, or that parsers trip over. */
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
export const text = fc.oneof(
  nasty,
  fc.string({ unit: 'binary', maxLength: 60 }),
  fc.string({ maxLength: 60 }),
)
export const json = fc.oneof(
  text,
  fc.jsonValue({ depthSize: 'small' }),
  fc.double(),
  fc.maxSafeInteger(),
  fc.constant(null),
)

/** Malformed percent-encoding, or encoding of bytes that are not UTF-8. */
export const brokenEncoding = fc.constantFrom('%', '%z', '%zz', '%ff', '%c0%80', '%ed%a0%80')

/** Percent-encodes everything, so that the request itself is valid HTTP. */
export function encode(text: string): string {
  return [...Buffer.from(text)].map((byte) => `%${byte.toString(16).padStart(2, '0')}`).join('')
}
