import { randomInt as cryptoRandomInt, hash } from 'node:crypto'
import { inspect } from 'node:util'
import { crc32 } from 'node:zlib'

/** SHA-256 of a whole presented secret. */
export type SecretHash = Buffer & { readonly brand: 'SecretHash' }

/** The same in base64, to be compared and looked up in memory. */
export type HashText = string & { readonly brand: 'HashText' }

export function hashText(hash: SecretHash): HashText {
  return hash.toString('base64') as HashText
}

/** The plaintext of a token. Logging or serialising one by accident shows a placeholder. */
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

  /** What may be shown for ever: all up to the fourth random character (of a JWT the first four), and the last four. */
  hint(): string {
    const start = this.isJws() ? 4 : this.#text.length - randomLength - checksumLength + 4
    return `${this.#text.slice(0, start)}…${this.#text.slice(-4)}`
  }

  /** Whether it looks like a signed JWT, ours or another's. */
  isJws(): boolean {
    return jws.test(this.#text)
  }

  /** A string of our shape whose checksum is wrong cannot have been issued by us: no database query needed. */
  isMistyped(): boolean {
    const text = this.#text
    return shape.test(text) && text.slice(-checksumLength) !== checksum(text.slice(0, -checksumLength))
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
const shape = /^[a-z][a-z0-9_-]*_[0-9A-Za-z]{36}$/
const ending = /_[0-9A-Za-z]{36}\b/g

// A compact JWS whose header and payload are JSON objects. What is before it keeps the search linear in the text.
const jws = /^eyJ[\w-]+\.eyJ[\w-]+\.[\w-]+$/
const jwsInText = /(?<![\w-])eyJ[\w-]+\.eyJ[\w-]+\.[\w-]+/g

/** A new secret: `<label>_<30 random base62 characters><CRC-32 of all before it in 6 base62 characters>`. */
export function generateSecret(label: string, randomInt: (max: number) => number = cryptoRandomInt): Secret {
  const random = Array.from({ length: randomLength }, () => alphabet[randomInt(alphabet.length)]).join('')
  const body = `${label}_${random}`
  return new Secret(body + checksum(body))
}

/** Replaces whatever looks like a secret of ours, so that a token pasted into the wrong place is not kept there. */
export function maskSecrets(text: string): string {
  let masked = ''
  let end = 0
  for (const found of opaqueIn(text)) {
    masked += `${text.slice(end, found.start)}[secret]`
    end = found.end
  }
  return (masked + text.slice(end)).replace(jwsInText, '[secret]')
}

/** True if the text holds a secret of ours with a good checksum, or anybody's JWT. */
export function holdsSecret(text: string): boolean {
  return text.search(jwsInText) >= 0 || holdsOpaque(text)
}

function holdsOpaque(text: string): boolean {
  for (const { start, end } of opaqueIn(text)) {
    if (!new Secret(text.slice(start, end)).isMistyped()) return true
  }
  return false
}

/**
 * Where there are strings of our shape. They are found by their ends: any letter might be the beginning of one, and an
 * expression that tries all of them takes time by the square of the text.
 */
function* opaqueIn(text: string): Generator<{ start: number; end: number }> {
  let passed = 0
  for (const { index, 0: found } of text.matchAll(ending)) {
    let start: number | undefined
    for (let i = index - 1; i >= passed && /[a-z0-9_-]/.test(text.charAt(i)); i--) {
      if (/[a-z]/.test(text.charAt(i)) && !/\w/.test(text.charAt(i - 1))) start = i
    }
    if (start === undefined) continue
    passed = index + found.length
    yield { start, end: passed }
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
