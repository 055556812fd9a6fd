import { randomInt as cryptoRandomInt, hash } from 'node:crypto'
import { inspect } from 'node:util'
import { crc32 } from 'node:zlib'

/** SHA-256 of a whole presented secret. */
export type SecretHash = Buffer & { readonly brand: 'SecretHash' }

/** The same in base64, for comparing and for keys in memory. */
export type HashText = string & { readonly brand: 'HashText' }

export function hashText(hash: SecretHash): HashText {
  return hash.toString('base64') as HashText
}

/** A hash in hex, base64 or base64url, the latter two with or without padding; undefined if the text is none of these. */
export function parseHash(text: string): SecretHash | undefined {
  if (/^[\da-f]{64}$/i.test(text)) return Buffer.from(text, 'hex') as SecretHash
  const encoding = /[-_]/.test(text) ? 'base64url' : 'base64'
  const hash = Buffer.from(text, encoding)
  // Decoding ignores characters and bits that do not belong there, encoding shows whether there were any.
  const isWhole = hash.length === 32 && unpadded(hash.toString(encoding)) === unpadded(text)
  return isWhole ? (hash as SecretHash) : undefined
}

function unpadded(base64: string): string {
  return base64.replace(/=$/, '')
}

/** The plaintext of a token. Logging or serializing one by accident shows a placeholder. */
export class Secret {
  readonly #text: string
  #hashText: HashText | undefined

  constructor(text: string) {
    this.#text = text
  }

  reveal(): string {
    return this.#text
  }

  hash(): SecretHash {
    return hash('sha256', this.#text, 'buffer') as SecretHash
  }

  hashText(): HashText {
    this.#hashText ??= hash('sha256', this.#text, 'base64') as HashText
    return this.#hashText
  }

  /**
   * The part that may be shown permanently: up to the fourth random character (the first four of a JWT), and the last
   * four.
   */
  hint(): string {
    const start = this.isJws() ? 4 : this.#text.length - randomLength - checksumLength + 4
    return `${this.#text.slice(0, start)}…${this.#text.slice(-4)}`
  }

  /** Whether it looks like a signed JWT, from any issuer. */
  isJws(): boolean {
    return jws.test(this.#text)
  }

  /** A string of our format with a wrong checksum was never issued here: no database query needed. */
  isMistyped(): boolean {
    const text = this.#text
    const isWrong =
      shape.test(text) && text.slice(-checksumLength) !== checksum(text.slice(0, -checksumLength))
    // The signature of a JWT can end like an opaque secret.
    return isWrong && !this.isJws()
  }

  toString(): string {
    return '[secret]'
  }

  toJSON(): string {
    return '[secret]'
  }

  [inspect.custom](): string {
    return '[secret]'
  }
}

export const alphabet = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'
const randomLength = 30
const checksumLength = 6
// The label is a prefix, after which the key of an organization may follow; only it can contain `_`, so that the last one
// ends it.
const shape = /^[a-z][\w.-]*_[0-9A-Za-z]{36}$/
const longestLabel = 20 + 1 + 64
const ending = /_[0-9A-Za-z]{36}\b/g

// A compact JWS whose header and payload are JSON objects. The fixed start keeps the search linear in the length of the
// text.
const jws = /^eyJ[\w-]+\.eyJ[\w-]+\.[\w-]+$/
const jwsInText = /(?<![\w-])eyJ[\w-]+\.eyJ[\w-]+\.[\w-]+/g

/** A new secret: `<label>_<30 random base62 characters><CRC-32 of all before it in 6 base62 characters>`. */
export function generateSecret(label: string, randomInt: (max: number) => number = cryptoRandomInt): Secret {
  const random = Array.from({ length: randomLength }, () => alphabet[randomInt(alphabet.length)]).join('')
  const body = `${label}_${random}`
  return new Secret(body + checksum(body))
}

/** Masks everything that looks like a secret, so that a token pasted into the wrong place is not stored. */
export function maskSecrets(given: string): string {
  const text = given.replace(jwsInText, '[secret]')
  let masked = ''
  let end = 0
  for (const { starts, end: next } of opaqueIn(text)) {
    masked += `${text.slice(end, starts.at(-1))}[secret]`
    end = next
  }
  return masked + text.slice(end)
}

/** True if the text contains a Counterfoil secret with a valid checksum, or a JWT from any issuer. */
export function holdsSecret(text: string): boolean {
  return text.search(jwsInText) >= 0 || holdsOpaque(text)
}

function holdsOpaque(text: string): boolean {
  for (const { starts, end } of opaqueIn(text)) {
    if (starts.some((start) => !new Secret(text.slice(start, end)).isMistyped())) return true
  }
  return false
}

/**
 * Locates strings of our format, with every place where each may start, nearest first. They are found by their ends: any
 * letter might begin one, and a regular expression that tries each of them takes quadratic time.
 */
function* opaqueIn(text: string): Generator<{ starts: number[]; end: number }> {
  let passed = 0
  for (const { index, 0: found } of text.matchAll(ending)) {
    const starts: number[] = []
    const furthest = Math.max(passed, index - longestLabel)
    for (let i = index - 1; i >= furthest && /[\w.-]/.test(text.charAt(i)); i--) {
      if (/[a-z]/.test(text.charAt(i)) && !/\w/.test(text.charAt(i - 1))) starts.push(i)
    }
    if (starts.length === 0) continue
    passed = index + found.length
    yield { starts, end: passed }
  }
}

function checksum(text: string): string {
  let rest = crc32(text)
  let digits = ''
  for (let i = 0; i < checksumLength; i++) {
    digits = alphabet[rest % alphabet.length] + digits
    rest = Math.floor(rest / alphabet.length)
  }
  return digits
}
