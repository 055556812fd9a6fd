/** Every error a caller can meet: its stable code, HTTP status and title (RFC 9457 §3.1). */
export const catalogue = {
  invalid_request: { status: 400, title: 'The request is malformed' },
  unauthenticated: { status: 401, title: 'Credentials are required' },
  invalid_token: { status: 401, title: 'The presented credential is not good' },
  ambiguous_credentials: { status: 401, title: 'There is more than one credential, or one in the URL' },
  invalid_client: { status: 401, title: 'The client assertion is not good' },
  insufficient_scope: { status: 403, title: 'The credential lacks a permission' },
  creation_disabled: {
    status: 403,
    title: 'The policy of the organization keeps this owner from creating tokens',
  },
  not_found: { status: 404, title: 'There is nothing here' },
  method_not_allowed: { status: 405, title: 'This method is not offered here' },
  not_acceptable: { status: 406, title: 'The answer cannot be given in a form that is accepted' },
  request_timeout: { status: 408, title: 'The request took too long to arrive' },
  already_exists: { status: 409, title: 'Something of this name exists already' },
  name_taken: { status: 409, title: 'Another token of the organization has this name' },
  limit_reached: { status: 409, title: 'There are as many as are allowed' },
  in_use: { status: 409, title: 'It is still in use' },
  suspended: { status: 409, title: 'It is suspended' },
  not_suspended: { status: 409, title: 'Suspend it before deleting it' },
  built_in: { status: 409, title: 'It is part of Counterfoil and stays as it is' },
  signing_unavailable: { status: 409, title: 'There is no master key to sign JWTs with' },
  rotation_pending: { status: 409, title: 'The next signing key is published already' },
  cursor_gone: { status: 410, title: 'What followed this cursor is not kept any more' },
  precondition_failed: { status: 412, title: 'It was changed by somebody else meanwhile' },
  content_too_large: { status: 413, title: 'The body is too large' },
  unsupported_media_type: { status: 415, title: 'This media type is not understood here' },
  invalid_value: { status: 422, title: 'A value is not allowed' },
  confirmation_required: { status: 422, title: 'The name of the token is needed to confirm this' },
  idempotency_key_reused: { status: 422, title: 'This Idempotency-Key belongs to another request' },
  too_many_requests: { status: 429, title: 'Too many credentials from this address were not good' },
  header_fields_too_large: { status: 431, title: 'The header fields are too large' },
  internal_error: { status: 500, title: 'Something went wrong on our side' },
  overloaded: { status: 503, title: 'More is asked than the service can answer right now' },
  unavailable: { status: 503, title: 'The service cannot answer right now' },
} as const satisfies Record<string, { status: number; title: string }>

export type ErrorCode = keyof typeof catalogue

/** One offending input: where it stood, its name (nested ones joined by dots) and what is wrong with it. */
export type FieldError = { in: 'body' | 'query' | 'path' | 'header'; field: string; detail: string }

export type ErrorExtras = {
  fields?: FieldError[]
  /** The permission the caller would need; named in the RFC 6750 challenge. */
  scope?: string
  /** Seconds to wait before another try; one, where the status asks for waiting and nothing else is said. */
  retryAfter?: number
  /** What is behind it, for the logs. */
  cause?: unknown
}

/** The only error the domain throws; everything else is a defect and becomes a constant 500. */
export class AppError extends Error {
  override readonly name = 'AppError'
  readonly code: ErrorCode
  readonly fields: FieldError[] | undefined
  readonly scope: string | undefined
  readonly retryAfter: number

  constructor(code: ErrorCode, detail: string, extras: ErrorExtras = {}) {
    super(detail, { cause: extras.cause })
    this.code = code
    this.fields = extras.fields
    this.scope = extras.scope
    this.retryAfter = extras.retryAfter ?? 1
  }
}

/** A 422 that names one member of the request body. */
export function invalidValue(field: string, detail: string): AppError {
  return new AppError('invalid_value', `${field} ${detail}`, { fields: [{ in: 'body', field, detail }] })
}

/**
 * The 401 for a credential that is not good. One text for every reason, so that nobody who tries credentials learns which
 * one it was; the reason is for the log.
 */
export function badCredential(reason?: string): AppError {
  return new AppError(
    'invalid_token',
    'The credential is unknown, expired, revoked or not good from there.',
    {
      ...(reason !== undefined && { cause: new Error(reason) }),
    },
  )
}
