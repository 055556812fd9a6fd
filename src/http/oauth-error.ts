import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import { challenges } from '../authentication/challenge.ts'
import type { AppError } from '../errors.ts'
import { settle } from './problem.ts'
import { describeStatus, errorHeaders, ref, withThrottling } from './schemas.ts'

export const OAuthError = Type.Object(
  {
    error: Type.String({ description: 'What it is, for programs.', examples: ['invalid_request'] }),
    error_description: Type.String({
      description: 'What went wrong this time, for a person.',
      examples: ['token is given more than once'],
    }),
    request_id: Type.String({
      description: 'Quote it when asking for help: the logs have it too.',
      examples: ['019aa0c4-7c1e-7d43-9f53-0b8f1d2b3c4d'],
    }),
  },
  { $id: 'OAuthError', description: 'An error of RFC 6749 §5.2.' },
)

/** The OAuth errors that a protocol endpoint can answer with, by status. */
export function oauthErrors(...statuses: number[]): Record<number, object> {
  const content = { 'application/json': { schema: ref(OAuthError) } }
  return Object.fromEntries(
    withThrottling(statuses).map((status) => [
      status,
      { description: describeStatus(status), ...errorHeaders(status), content },
    ]),
  )
}

/** The error handler of the protocol endpoints (RFC 6749 §5.2). */
export function sendOAuthError(thrown: FastifyError, request: FastifyRequest, reply: FastifyReply): void {
  const error = settle(thrown, request, reply)
  // RFC 7009 §2.2.1: a token that cannot be revoked here is an error of RFC 6749 §5.2.
  if (error.code === 'built_in') reply.code(400)
  send(error, request, reply)
}

/**
 * The error handler of `/introspect`. RFC 7662 §2.3: a bearer token that "does not contain sufficient privileges"
 * is answered with 401, where RFC 6750 §3.1 alone would have 403.
 */
export function sendIntrospectionError(
  thrown: FastifyError,
  request: FastifyRequest,
  reply: FastifyReply,
): void {
  const error = settle(thrown, request, reply)
  if (error.code === 'insufficient_scope') reply.code(401)
  send(error, request, reply)
}

function send(error: AppError, request: FastifyRequest, reply: FastifyReply): void {
  const basic = request.headers.authorization?.toLowerCase().startsWith('basic ') ?? false
  const due = challenges(error, basic)
  if (due.length > 0) reply.header('www-authenticate', due)
  reply.send({ error: oauthCode(error, basic), error_description: error.message, request_id: request.id })
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
