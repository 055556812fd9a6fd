import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import { AppError, catalogue, type ErrorCode } from '../shared/errors.ts'
import { challenges } from './challenge.ts'
import { settle } from './problem.ts'
import { describeStatus, errorHeaders, exampleRequestId, ref, withThrottling } from './schemas.ts'

export const OAuthError = Type.Object(
  {
    error: Type.String({ description: 'The kind of error, for programs.', examples: ['invalid_request'] }),
    error_description: Type.String({
      description: 'What went wrong in this request, for people.',
      examples: ['token is given more than once'],
    }),
    request_id: Type.String({
      description: 'Quote it when you ask for help; it is also in the log.',
      examples: [exampleRequestId],
    }),
  },
  { $id: 'OAuthError', description: 'An error of RFC 6749 §5.2.' },
)

type Statuses = Partial<Record<ErrorCode, number>>

/** RFC 7009 §2.2.1: a token that cannot be revoked here is an error of RFC 6749 §5.2. */
const revocationStatuses: Statuses = { built_in: 400 }

/**
 * RFC 7662 §2.3: a bearer token that "does not contain sufficient privileges" gets 401; RFC 6750 §3.1 alone would
 * require 403.
 */
const introspectionStatuses: Statuses = { insufficient_scope: 401 }

/** The OAuth errors of `/revoke`, by status. */
export const revocationErrors = (...statuses: number[]) => describeErrors(statuses, revocationStatuses)

/** The OAuth errors of introspection, by status. */
export const introspectionErrors = (...statuses: number[]) => describeErrors(statuses, introspectionStatuses)

function describeErrors(statuses: number[], overrides: Statuses): Record<number, object> {
  return Object.fromEntries(
    withThrottling(statuses).map((status) => {
      const content = {
        'application/json': { schema: ref(OAuthError), examples: examplesOf(status, overrides) },
      }
      return [status, { description: describeStatus(status), ...errorHeaders(status), content }]
    }),
  )
}

/** An example of each error with this status, named by its code in the catalogue. */
function examplesOf(status: number, overrides: Statuses): Record<string, object> {
  // Only creating a token can fail with creation_disabled, and only requests under /v1 have sessions.
  const others: ErrorCode[] = ['creation_disabled', 'cross_origin']
  const codes = (Object.keys(catalogue) as ErrorCode[]).filter((code) => !others.includes(code))
  const those = codes.filter((code) => (overrides[code] ?? catalogue[code].status) === status)
  return Object.fromEntries(
    those.map((code) => {
      const { title, advice } = catalogue[code]
      const value = oauthDocument(new AppError(code, `${title}.`), false, exampleRequestId)
      return [code, { summary: title, description: advice, value }]
    }),
  )
}

/** The error handler of the protocol endpoints (RFC 6749 §5.2). */
export const sendOAuthError = errorHandler(revocationStatuses)

/** The error handler of introspection. */
export const sendIntrospectionError = errorHandler(introspectionStatuses)

function errorHandler(overrides: Statuses) {
  return (thrown: FastifyError, request: FastifyRequest, reply: FastifyReply): void => {
    const error = settle(thrown, request, reply)
    const status = overrides[error.code]
    if (status !== undefined) reply.code(status)
    const basic = request.headers.authorization?.toLowerCase().startsWith('basic ') ?? false
    const due = challenges(error, basic)
    if (due.length > 0) reply.header('www-authenticate', due)
    reply.send(oauthDocument(error, basic, request.id))
  }
}

function oauthDocument(error: AppError, basic: boolean, requestId: string) {
  return { error: oauthCode(error, basic), error_description: error.message, request_id: requestId }
}

function oauthCode({ code }: AppError, basic: boolean): string {
  if (code === 'unauthenticated' || (code === 'invalid_token' && basic)) return 'invalid_client'
  if (code === 'unavailable' || code === 'overloaded' || code === 'too_many_requests')
    return 'temporarily_unavailable'
  if (code === 'internal_error') return 'server_error'
  if (code === 'built_in') return 'unsupported_token_type'
  return code === 'invalid_token' || code === 'invalid_client' || code === 'insufficient_scope'
    ? code
    : 'invalid_request'
}
