import { domainToASCII } from 'node:url'

// Characters that can make a name look like another one.
const directional = 'characters that override the direction of text (U+202A to U+202E, U+2066 to U+2069)'

/** The formats that our schemas use, with the message for values that do not match. */
export const formats: Record<string, { validate: (text: string) => boolean; message: string }> = {
  'date-time': {
    validate: isInstant,
    message:
      'must be an RFC 3339 instant in the years 1 to 9999, such as 2026-03-01T12:00:00Z; leap seconds are not accepted',
  },
  uuid: {
    validate: (text) => /^[\da-f]{8}-(?:[\da-f]{4}-){3}[\da-f]{12}$/i.test(text),
    message: 'must be a UUID, such as 019aa0c4-7c1e-7d43-9f53-0b8f1d2b3c4d',
  },
  'idn-email': {
    validate: isEmailAddress,
    message: 'must be an e-mail address, such as ada@example.com or jörg@müller.example',
  },
  name: {
    validate: (text) =>
      !/[\p{Cc}\u2028-\u202E\u2066-\u2069]/u.test(text) && /[^\p{Z}\p{Cc}\p{Cf}]/u.test(text),
    message: `must have a visible character, and no control characters or ${directional}`,
  },
  text: {
    validate: (text) => !/(?![\t\n\r])[\p{Cc}\u202A-\u202E\u2066-\u2069]/u.test(text),
    message: `must not have control characters (but for tabs and line breaks) or ${directional}`,
  },
}

const longestLocalPart = 64
const longestDomain = 253
const dotAtom = /^[^\s\p{C}"(),.:;<>@[\\\]]+(?:\.[^\s\p{C}"(),.:;<>@[\\\]]+)*$/u
const label = /^[a-z\d](?:[a-z\d-]*[a-z\d])?$/

/** The addr-spec of RFC 5322 without quoted strings and literals, with the letters of RFC 6531 and RFC 5890. */
function isEmailAddress(text: string): boolean {
  const at = text.lastIndexOf('@')
  const local = text.slice(0, Math.max(0, at))
  if (!dotAtom.test(local) || Buffer.byteLength(local) > longestLocalPart) return false
  const domain = text.slice(at + 1)
  if (/[%\s]/.test(domain)) return false
  const ascii = domainToASCII(domain)
  const labels = ascii.split('.')
  return (
    ascii.length <= longestDomain &&
    labels.length > 1 &&
    labels.every((one) => one.length <= 63 && label.test(one))
  )
}

const dateTime =
  /^(\d{4}-\d\d-\d\d)T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d+)?(?:Z|[+-](?:[01]\d|2[0-3]):[0-5]\d)$/i
const [earliest, latest] = [Date.parse('0001-01-01T00:00:00Z'), Date.parse('9999-12-31T23:59:59.999Z')]

/**
 * RFC 3339 §5.6, as far as JavaScript and PostgreSQL agree on its meaning. An offset may push the instant outside the
 * years 0000 to 9999.
 */
function isInstant(text: string): boolean {
  const day = dateTime.exec(text)?.[1]
  if (day === undefined) return false
  const midnight = Date.parse(`${day}T00:00:00Z`)
  // JavaScript reads 30 February as 2 March.
  if (Number.isNaN(midnight) || !new Date(midnight).toISOString().startsWith(day)) return false
  const instant = Date.parse(text)
  return instant >= earliest && instant <= latest
}
