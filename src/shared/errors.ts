/**
 * Every error that a caller can get: its stable code, HTTP status and title (RFC 9457 §3.1), and what to do about it.
 */
export const catalogue = {
  invalid_request: {
    status: 400,
    title: 'The request is malformed',
    advice: 'Correct the inputs that `errors` or `detail` names, then send the request again.',
  },
  unauthenticated: {
    status: 401,
    title: 'Credentials are required',
    advice: 'Send a credential in `Authorization`; at the protocol endpoints a client assertion works too.',
  },
  invalid_token: {
    status: 401,
    title: 'The credential is not valid',
    advice:
      'Check that the token is complete, unexpired and unrevoked and may be used from your network, or create a new one.',
  },
  ambiguous_credentials: {
    status: 401,
    title: 'The request has more than one credential, or one in the URL',
    advice: 'Send exactly one credential, in a header field and never in the URL.',
  },
  invalid_client: {
    status: 401,
    title: 'The client assertion is not valid',
    advice:
      'Check the key, the audience and the lifetime of the client assertion, and use a new `jti` for each one.',
  },
  insufficient_scope: {
    status: 403,
    title: 'The credential lacks a permission',
    advice: 'Use a management token with the permission that `WWW-Authenticate` names.',
  },
  cross_origin: {
    status: 403,
    title: 'The request came from a page of another origin',
    advice: 'Send a token in `Authorization`; sessions are for the pages of the console.',
  },
  creation_disabled: {
    status: 403,
    title: "The organization's policy does not allow this owner to create tokens",
    advice: 'Ask an administrator to create the token, or to change the policy of the organization.',
  },
  not_found: {
    status: 404,
    title: 'Not found',
    advice:
      'Check the path and the ids in it; objects of organizations that you have no access to are not found either.',
  },
  method_not_allowed: {
    status: 405,
    title: 'Method not allowed',
    advice: 'Use one of the methods that `Allow` lists.',
  },
  not_acceptable: {
    status: 406,
    title: 'No representation matches the Accept header field',
    advice: 'Change `Accept` to include a media type that `detail` lists, or leave it out.',
  },
  request_timeout: {
    status: 408,
    title: 'The request took too long to arrive',
    advice: 'Send the whole request within 60 seconds.',
  },
  already_exists: {
    status: 409,
    title: 'The resource already exists',
    advice: 'Use the existing object, or choose another name.',
  },
  name_taken: {
    status: 409,
    title: 'Another token of the organization has this name',
    advice: 'Choose another name, or delete the token that has it.',
  },
  limit_reached: {
    status: 409,
    title: 'Limit reached',
    advice: 'Revoke or delete what is no longer needed, or ask an administrator to raise the limit.',
  },
  in_use: {
    status: 409,
    title: 'The resource is still in use',
    advice: 'Delete its tokens first; if it is a signing key, rotate first.',
  },
  suspended: {
    status: 409,
    title: 'The organization, token type or owner is suspended',
    advice: 'Resume the organization, token type or owner that `detail` names first.',
  },
  not_suspended: {
    status: 409,
    title: 'Suspend the resource before deleting it',
    advice: 'Suspend it, then delete it.',
  },
  built_in: {
    status: 409,
    title: 'Built-in resources cannot be changed',
    advice:
      'Leave it as it is; if it comes from the environment, change the configuration and restart the service.',
  },
  signing_unavailable: {
    status: 409,
    title: 'Signing requires a master key',
    advice: 'Set `MASTER_KEY` and restart the service; tokens can also be opaque instead of JWTs.',
  },
  rotation_pending: {
    status: 409,
    title: 'The next signing key is already published',
    advice:
      'Wait until the published key starts to sign, or rotate with `immediately` if the current key has leaked.',
  },
  not_rotatable: {
    status: 409,
    title: 'The token cannot be rotated',
    advice: 'Create a new token: one that has expired or been revoked gets no new secret.',
  },
  rotation_in_progress: {
    status: 409,
    title: 'Two secrets of the token are in use',
    advice:
      'Finish the rotation or wait until its overlap ends; if a secret has leaked, rotate with `overlap_seconds` 0.',
  },
  not_pending: {
    status: 409,
    title: 'No rotation waits for the first use of its secret',
    advice: 'List the secrets of the token: the new one may already be in use.',
  },
  superseded_secret: {
    status: 409,
    title: 'The presented secret was superseded',
    advice:
      'Rotate with the current secret of the token; a secret in its overlap can be used, but not rotated.',
  },
  cursor_gone: {
    status: 410,
    title: 'The cursor has expired or is unknown',
    advice: 'Drop every cached answer, then read the feed from its start without a cursor.',
  },
  precondition_failed: {
    status: 412,
    title: 'The resource has changed since you read it',
    advice: 'Read the object again, apply your change to it, and send its current `ETag` in `If-Match`.',
  },
  content_too_large: {
    status: 413,
    title: 'The request body is too large',
    advice: 'Send a smaller body, or split it into several requests.',
  },
  unsupported_media_type: {
    status: 415,
    title: 'Unsupported media type',
    advice: 'Set `Content-Type` to the media type that the reference lists for the operation.',
  },
  expectation_failed: {
    status: 417,
    title: 'The expectation cannot be met',
    advice: 'Leave out `Expect`, or set it to `100-continue`.',
  },
  invalid_value: {
    status: 422,
    title: 'A value is not allowed',
    advice: 'Change the values that `errors` names; the policy or the token type may restrict them.',
  },
  confirmation_required: {
    status: 422,
    title: "Confirm this request with the token's name",
    advice: 'Send the name of the token in `confirm`.',
  },
  idempotency_key_reused: {
    status: 422,
    title: 'This Idempotency-Key was used for a different request',
    advice: 'Use a new `Idempotency-Key` for each new request; reuse one only to repeat the same request.',
  },
  too_many_requests: {
    status: 429,
    title: 'Too many failed authentications from this address',
    advice: 'Fix the credential that you send, then wait for as long as `Retry-After` says.',
  },
  header_fields_too_large: {
    status: 431,
    title: 'The header fields are too large',
    advice: 'Send fewer or shorter header fields.',
  },
  internal_error: {
    status: 500,
    title: 'Internal error',
    advice: 'Try again later; if it persists, report the `request_id` to the operator.',
  },
  overloaded: {
    status: 503,
    title: 'Too many requests in progress',
    advice: 'Wait for as long as `Retry-After` says, then try again with increasing delays.',
  },
  unavailable: {
    status: 503,
    title: 'Temporarily unavailable',
    advice: 'Wait for as long as `Retry-After` says, then try again; never treat a token as good meanwhile.',
  },
} as const satisfies Record<string, { status: number; title: string; advice: string }>

export type ErrorCode = keyof typeof catalogue

/** One invalid input: where it is, its name (nested names joined by dots) and what is wrong with it. */
export type FieldError = { in: 'body' | 'query' | 'path' | 'header'; field: string; detail: string }

export type ScimType =
  | 'invalidFilter'
  | 'uniqueness'
  | 'mutability'
  | 'invalidSyntax'
  | 'invalidPath'
  | 'noTarget'
  | 'invalidValue'

/** RFC 8935 §2.4. */
export type SetError =
  | 'invalid_request'
  | 'invalid_key'
  | 'invalid_issuer'
  | 'invalid_audience'
  | 'authentication_failed'

export type ErrorExtras = {
  fields?: FieldError[]
  /** The permission the caller would need; named in the RFC 6750 challenge. */
  scope?: string
  /** The kind of SCIM error (RFC 7644 §3.12). */
  scimType?: ScimType
  /** Why a security event token is rejected. */
  setError?: SetError
  /** Seconds to wait before a retry, for statuses that have Retry-After. Defaults to one. */
  retryAfter?: number
  /** The cause, for the logs only. */
  cause?: unknown
}

/** The only error that domain code throws. Any other error is a bug and becomes a constant 500. */
export class AppError extends Error {
  override readonly name = 'AppError'
  readonly code: ErrorCode
  readonly fields: FieldError[] | undefined
  readonly scope: string | undefined
  readonly scimType: ScimType | undefined
  readonly setError: SetError | undefined
  readonly retryAfter: number

  constructor(code: ErrorCode, detail: string, extras: ErrorExtras = {}) {
    super(detail, { cause: extras.cause })
    this.code = code
    this.fields = extras.fields
    this.scope = extras.scope
    this.scimType = extras.scimType
    this.setError = extras.setError
    this.retryAfter = extras.retryAfter ?? 1
  }
}

/** Collects what several checks reject, so that one error can tell the caller all of it. */
export class Refusals {
  readonly #errors: AppError[] = []

  add(error: AppError | undefined): void {
    if (error) this.#errors.push(error)
  }

  /** The result of a check, or undefined if it rejected something. */
  check<T>(work: () => T): T | undefined {
    try {
      return work()
    } catch (error) {
      this.add(appError(error))
      return undefined
    }
  }

  async checkLater(work: () => Promise<unknown>): Promise<void> {
    await work().catch((error) => this.add(appError(error)))
  }

  /** The first error, with the fields of all; undefined if nothing was rejected. */
  combined(): AppError | undefined {
    const [first, ...others] = this.#errors
    if (!first || others.length === 0) return first
    const fields = new Map(
      this.#errors
        .flatMap(fieldsOf)
        .toReversed()
        .map((field) => [`${field.in} ${field.field}`, field]),
    )
    return new AppError(first.code, first.message, { fields: [...fields.values()].toReversed() })
  }
}

function appError(error: unknown): AppError {
  if (error instanceof AppError) return error
  throw error
}

/** An error about the request as a whole has no field. */
function fieldsOf({ fields, message: detail }: AppError): FieldError[] {
  return fields ?? [{ in: 'body', field: '', detail }]
}

const mostListed = 20

/** The allowed values, as an error lists them; abbreviated if there are many. */
export function listed(names: readonly string[]): string {
  if (names.length === 0) return 'none'
  const more = names.length > mostListed ? ` and ${names.length - mostListed} more` : ''
  return names.slice(0, mostListed).join(', ') + more
}

/** A 422 that names one member of the request body. */
export function invalidValue(field: string, detail: string): AppError {
  return new AppError('invalid_value', `${field} ${detail}`, { fields: [{ in: 'body', field, detail }] })
}

/**
 * The 401 for a credential that is not valid. The text is the same for every reason, so that it does not help guessing
 * credentials. The reason is only logged.
 */
export function badCredential(reason?: string): AppError {
  return new AppError(
    'invalid_token',
    'The credential is unknown, expired, revoked or not allowed from this address.',
    {
      ...(reason !== undefined && { cause: new Error(reason) }),
    },
  )
}
