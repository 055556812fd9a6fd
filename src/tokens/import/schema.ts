import { isUtf8 } from 'node:buffer'
import type { Readable } from 'node:stream'
import { type Static, Type } from 'typebox'
import { withoutEmptyMembers } from '../../http/empty-members.ts'
import type { jsonParser } from '../../http/json.ts'
import { rejectUnsafeTextIn } from '../../http/reject-unsafe-text.ts'
import { nullable, orNull, Problem } from '../../http/schemas.ts'
import { fieldErrors } from '../../http/to-app-error.ts'
import { violations } from '../../http/validation.ts'
import { AppError, invalidValue } from '../../shared/errors.ts'
import type { Line } from '../../shared/lines.ts'
import { hashText, parseHash, Secret } from '../../shared/secret.ts'
import { NewToken, parseNewToken } from '../create/schema.ts'
import type { Warning } from '../schema.ts'
import type { ForeignToken, ImportResult } from './import.ts'

/** As long as the body of a create. */
export const longestLine = 1024 * 1024

/** In a request. A dry run keeps in memory what it has read. */
export const mostLines = 250_000

const { name, comment, owner, scopes, audience, metadata, allowed_cidrs, not_before } = NewToken.properties

const ImportedToken = Type.Object(
  {
    sha256: Type.String({
      maxLength: 64,
      description: 'The SHA-256 hash of the whole secret, in hex, base64 or base64url.',
      examples: ['n4bQgYhMfWWaL-qgxVrQFaO_TxsrC4Is0V1sFbDwCgg'],
    }),
    type: Type.String({
      minLength: 1,
      maxLength: 50,
      description: 'The name of a token type.',
      examples: ['api'],
    }),
    name,
    comment,
    owner,
    scopes,
    audience,
    metadata,
    allowed_cidrs,
    not_before,
    expires_at: Type.Optional(nullable.dateTime({ description: 'Left out: never.' })),
    created_at: Type.Optional(nullable.dateTime({ description: 'Left out: now.' })),
    last_used_at: Type.Optional(nullable.dateTime()),
    prefix: orNull(
      Type.String({
        pattern: '^[\\x21-\\x7E]*$',
        'x-pattern-message': 'must be printable ASCII characters without spaces',
        maxLength: 100,
        examples: ['glpat-'],
      }),
      { description: 'The prefix of the secret. Left out: not known.' },
    ),
    hint: orNull(Type.String({ format: 'name', maxLength: 100, examples: ['glpat-ab…9x2Q'] }), {
      description:
        'The start of the secret, or its start, … and its last four characters. Left out: the prefix.',
    }),
  },
  { additionalProperties: false },
)

export const TokenImport = Type.String({
  $id: 'TokenImport',
  description:
    'One token per line: `sha256` and `type`, and optionally `name`, `comment`, `owner`, `scopes`, `audience`, `metadata`, ' +
    '`allowed_cidrs`, `not_before`, `expires_at`, `created_at`, `last_used_at`, `prefix` and `hint`.',
  examples: [
    `${JSON.stringify({
      sha256: 'n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg=',
      type: 'api',
      name: 'Nightly report',
      owner: { subject: 'u-4711', identity_source: 'ldap' },
      scopes: ['read'],
      created_at: '2024-05-01T08:00:00Z',
      expires_at: '2100-01-01T00:00:00Z',
      prefix: 'acme_',
      hint: 'acme_ab…9x2Q',
    })}\n`,
  ],
})

const ofProblem = Problem.properties
const exampleId = '019aa0c4-7c1e-7d43-9f53-0b8f1d2b3c4d'

const LineResult = Type.Object({
  line: Type.Integer({ description: 'Counted from 1, including blank lines.', examples: [1] }),
  status: Type.Enum(['created', 'exists', 'invalid'], { type: 'string' }),
  token: nullable.string({
    format: 'uuid',
    description: 'The id of the token. Null: invalid, or created only in a dry run.',
    examples: [exampleId],
  }),
  warnings: Type.Array(Type.Unsafe<Static<typeof Warning>>({ $ref: 'Warning#' }), {
    description: 'Differences between the line and the token.',
  }),
  code: Type.Optional(ofProblem.code),
  detail: Type.Optional(ofProblem.detail),
  errors: ofProblem.errors,
})

const Summary = Type.Object({
  summary: Type.Object({
    ...Object.fromEntries(
      ['lines', 'created', 'exists', 'invalid'].map((name) => [name, Type.Integer({ examples: [1] })]),
    ),
    dry_run: Type.Boolean(),
    complete: Type.Boolean({
      description: 'False: the lines after these were not read, for the reason in `code`.',
    }),
    code: Type.Optional(ofProblem.code),
    detail: Type.Optional(ofProblem.detail),
  }),
})

export const TokenImportResult = Type.Unsafe<string>({
  $id: 'TokenImportResult',
  description: 'A line of the response: the result of a line, or at the end the summary of all.',
  anyOf: [LineResult, Summary],
  examples: [
    { line: 1, status: 'created', token: exampleId, warnings: [] },
    { summary: { lines: 1, created: 1, exists: 0, invalid: 0, dry_run: false, complete: true } },
  ],
})

/** OpenAPI 3.1 cannot describe the lines. */
export const Results = Type.Unsafe<string | Readable>({
  type: 'string',
  description: 'A `TokenImportResult` a line.',
})

export const components = [TokenImport, TokenImportResult]

export const ImportQuery = Type.Object(
  {
    dry_run: Type.Boolean({
      default: false,
      description: 'Only report the results: nothing is stored or logged.',
    }),
  },
  { additionalProperties: false },
)

function validateLine(line: unknown): Static<typeof ImportedToken> {
  const fields = fieldErrors(violations(ImportedToken, line) as never)
  const [first] = fields
  if (!first) return line as Static<typeof ImportedToken>
  throw new AppError('invalid_request', `${first.field} ${first.detail}`.trim(), { fields })
}

type ParseJson = ReturnType<typeof jsonParser>

/** The token in a line, or the errors in it. */
export function parseLine({ bytes }: Line, parseJson: ParseJson, now: Date): ForeignToken | AppError {
  try {
    if (bytes === undefined) throw malformed(`is longer than ${longestLine} bytes`)
    if (!isUtf8(bytes)) throw malformed('is not valid UTF-8')
    const json = jsonIn(bytes.toString(), parseJson)
    rejectUnsafeTextIn('body', json)
    return foreignToken(validateLine(withoutEmptyMembers(json, ImportedToken)), now)
  } catch (error) {
    if (error instanceof AppError) return error
    throw error
  }
}

function jsonIn(text: string, parseJson: ParseJson): unknown {
  let failure: Error | null = null
  let parsed: unknown
  parseJson(text, (error, json) => {
    failure = error
    parsed = json
  })
  if (failure) throw (failure as Error) instanceof AppError ? failure : malformed('is not valid JSON')
  return parsed
}

function malformed(detail: string): AppError {
  return new AppError('invalid_request', `The line ${detail}.`, {
    fields: [{ in: 'body', field: '', detail }],
  })
}

function foreignToken(line: Static<typeof ImportedToken>, now: Date): ForeignToken {
  const { sha256, expires_at, created_at, last_used_at, hint, prefix, ...rest } = line
  const hash = parseHash(sha256)
  if (!hash) throw invalidValue('sha256', 'must be a SHA-256 hash of 32 bytes in hex, base64 or base64url')
  rejectSecret(line, hashText(hash))
  return {
    hash,
    hint: parseHint(hint ?? prefix ?? ''),
    prefix: prefix ?? '',
    createdAt: created_at ? new Date(created_at) : null,
    lastUsedAt: last_used_at ? new Date(last_used_at) : null,
    input: {
      ...parseNewToken(rest, now),
      type: line.type,
      expiry: { at: expires_at ? new Date(expires_at) : null, field: 'expires_at', isKept: true },
    },
  }
}

/** With an ellipsis as one character, as in our own hints. */
function parseHint(hint: string): string {
  const [start = '', end = '', ...more] = hint.split(/…|\.{3}/)
  if (end.length <= 4 && more.length === 0) return `${start}…${end}`
  throw invalidValue(
    'hint',
    'must be the start of the secret, or its start, … and at most its last four characters',
  )
}

/** With a wrong column in an export, a secret would become public. */
function rejectSecret(line: Static<typeof ImportedToken>, hash: string): void {
  const { name, comment, hint, prefix, metadata } = line
  for (const [field, text] of Object.entries({ name, comment, hint, prefix, ...metadata }))
    if (typeof text === 'string' && new Secret(text).hashText() === hash)
      throw invalidValue(field, 'is the secret itself; leave it out')
}

export function presentResult(result: ImportResult): string {
  const { line, status } = result
  if (result.status !== 'invalid')
    return jsonLine({ line, status, token: result.id, warnings: result.warnings })
  const { code, message: detail, fields: errors } = result.error
  return jsonLine({ line, status, token: null, warnings: [], code, detail, ...(errors && { errors }) })
}

/** `stopped` says why not all lines were read. */
export function presentSummary(
  counts: Record<ImportResult['status'], number>,
  dryRun: boolean,
  stopped: AppError | undefined,
): string {
  const lines = counts.created + counts.exists + counts.invalid
  const reason = stopped && { code: stopped.code, detail: stopped.message }
  return jsonLine({ summary: { lines, ...counts, dry_run: dryRun, complete: !stopped, ...reason } })
}

function jsonLine(value: object): string {
  return `${JSON.stringify(value)}\n`
}
