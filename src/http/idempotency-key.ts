import type { FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import { AppError } from '../shared/errors.ts'
import { Secret } from '../shared/secret.ts'

const shortest = 22
const longest = 255

export const IdempotencyHeader = Type.Object({
  'idempotency-key': Type.Optional(
    Type.String({
      minLength: shortest,
      // Quoted, with quotes and backslashes escaped by a backslash.
      maxLength: 2 * longest + 2,
      description:
        'Makes retries safe: a request with the same key and body within 24 hours gets the response of the first one ' +
        'and creates no second token, even if the token has been revoked or deleted since, as long as the caller may ' +
        'still create such a token. The key is a secret, since ' +
        `it decrypts that response: use at least 128 random bits, such as a UUID; ${shortest} to ${longest} characters, ` +
        'in quotes (a string of RFC 9651) or without.',
      examples: ['"8e03978e-40d5-43dd-bc93-6894a57f9324"'],
    }),
  ),
})

// RFC 9651 §3.3.3. Unquoted keys are limited to characters that need no quotes, so that two keys joined by a proxy do
// not pass for one.
const quoted = /^"((?:[\x20\x21\x23-\x5B\x5D-\x7E]|\\["\\])*)"$/
const bare = /^[\x21\x23-\x2B\x2D-\x3A\x3C-\x5B\x5D-\x7E]+$/

/** The Idempotency-Key of a request (draft-ietf-httpapi-idempotency-key-header); undefined if it has none. */
export function idempotencyKey({ headers }: FastifyRequest): Secret | undefined {
  const header = headers['idempotency-key']
  if (header === undefined) return undefined
  const text = [header].flat().join(', ').trim()
  const key = quoted.exec(text)?.[1]?.replace(/\\(.)/g, '$1') ?? bare.exec(text)?.[0]
  if (key === undefined) throw malformed('must be a single string, in quotes or without')
  // Given a copy of the database, shorter keys could be found by brute force.
  if (key.length < shortest || key.length > longest)
    throw malformed(`must have ${shortest} to ${longest} characters; use 128 random bits or more`)
  return new Secret(key)
}

function malformed(detail: string): AppError {
  return new AppError('invalid_request', `Idempotency-Key ${detail}.`, {
    fields: [{ in: 'header', field: 'idempotency-key', detail }],
  })
}
