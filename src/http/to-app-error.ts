import type { FastifyError } from 'fastify'
import type { FastifySchemaValidationError } from 'fastify/types/schema.js'
import { isUnavailable } from '../db/database.ts'
import { AppError, type ErrorCode, type FieldError } from '../shared/errors.ts'
import { formats } from './formats.ts'
import { describePattern, describeUnknown } from './messages.ts'

/** Converts what Fastify, the validator, the database or a bug threw into the one error type that clients see. */
export function toAppError(error: unknown, bodyLimit: number): AppError {
  if (error instanceof AppError) return error
  if (isUnavailable(error))
    return new AppError('unavailable', 'The database does not respond. Try again shortly.')
  if (error instanceof Error && isFastifyError(error)) {
    if (error.validation) return invalid(error)
    if (error.code === 'FST_ERR_CTP_BODY_TOO_LARGE')
      return new AppError(
        'content_too_large',
        `The body is larger than the ${inUnits(bodyLimit)} that are accepted here.`,
      )
    const status = error.statusCode ?? 500
    if (status < 500)
      return new AppError(codes[status] ?? 'invalid_request', safeMessages[error.code] ?? generic)
  }
  return new AppError('internal_error', 'Something unexpected happened. It was logged under this request id.')
}

const codes: Record<number, ErrorCode> = {
  404: 'not_found',
  408: 'request_timeout',
  413: 'content_too_large',
  415: 'unsupported_media_type',
  431: 'header_fields_too_large',
}

const generic = 'The request is malformed.'

// Fastify's and the JSON parser's own messages may quote the input, which may contain a secret.
const safeMessages: Record<string, string> = {
  FST_ERR_CTP_INVALID_MEDIA_TYPE: 'The Content-Type is missing or not accepted by this operation.',
  FST_ERR_CTP_INVALID_JSON_BODY: 'The body is not valid JSON.',
}

/** Bounds the size of the response relative to the request. */
const maxFields = 20
const longestName = 100

const parts = { body: 'body', querystring: 'query', params: 'path', headers: 'header' } as const

/** With Ajv's option `verbose`, which Fastify's types do not cover. */
type Violation = FastifySchemaValidationError & { parentSchema?: object }

function invalid({ validation, validationContext }: FastifyError): AppError {
  const where = parts[(validationContext ?? 'body') as keyof typeof parts]
  const fields = fieldErrors(validation ?? [], where)
  const first = fields[0]
  const detail = first ? `${first.in} ${first.field} ${first.detail}`.replace(/\s+/g, ' ') : generic
  return new AppError('invalid_request', detail, { fields })
}

/** What a caller has to correct, for the errors of our validator. */
export function fieldErrors(
  validation: FastifySchemaValidationError[],
  where: FieldError['in'] = 'body',
): FieldError[] {
  return validation
    .slice(0, maxFields)
    .map(({ instancePath, keyword, params, message, parentSchema }: Violation): FieldError => {
      const unknown = keyword === 'additionalProperties' || keyword === 'unevaluatedProperties'
      const member =
        keyword === 'required' ? params.missingProperty : unknown ? params.additionalProperty : undefined
      const field = [...instancePath.split('/').slice(1), ...(member === undefined ? [] : [String(member)])]
        .map((name) => name.slice(0, longestName))
        .join('.')
      return {
        in: where,
        field,
        detail: unknown
          ? describeUnknown(String(member), parentSchema)
          : describe(keyword, params, message, parentSchema),
      }
    })
}

function describe(
  keyword: string,
  params: Record<string, unknown>,
  message: string | undefined,
  schema: object | undefined,
): string {
  // Saying that null is accepted too does not help a client that sent a wrong value.
  if (keyword === 'type')
    return `must be ${[params.type]
      .flat()
      .filter((type) => type !== 'null')
      .join(' or ')}`
  if (keyword === 'pattern') return describePattern(schema)
  if (keyword === 'required') return 'is required'
  if (keyword === 'type') return `must be ${[params.type].flat().join(' or ')}`
  if (keyword === 'enum') return `must be one of ${(params.allowedValues as unknown[]).join(', ')}`
  if (keyword === 'format') return formats[String(params.format)]?.message ?? message ?? 'is not valid'
  return message ?? 'is not valid'
}

/** The members of the body (by name) that validation rejected; undefined if it rejected anything else. */
export function invalidMembers({ validation = [], validationContext }: FastifyError): string[] | undefined {
  const names = validation.map(
    ({ instancePath, params }) => instancePath.split('/')[1] ?? params.additionalProperty,
  )
  return validationContext !== 'body' || names.includes(undefined) ? undefined : names.map(String)
}

function inUnits(bytes: number): string {
  const kilobytes = bytes / 1024
  return kilobytes < 1024 ? `${kilobytes} KiB` : `${kilobytes / 1024} MiB`
}

function isFastifyError(error: Error): error is FastifyError {
  return 'statusCode' in error || 'validation' in error
}
