import { STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { bearerChallenge } from '../authentication/challenge.ts'
import { AppError, catalogue } from '../errors.ts'
import { toAppError } from './to-app-error.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** What goes before every path that is sent to callers: the path of PUBLIC_URL, such as `/prefix`, or nothing. */
    basePath: string
  }
}

/** The body of RFC 9457 for an error. Its `type` has the full path, as §3.1.1 recommends for a relative reference. */
export function problemDocument(basePath: string, error: AppError, requestId: string) {
  const { status, title } = catalogue[error.code]
  return {
    type: `${basePath}/problems/${error.code}`,
    title,
    status,
    detail: error.message,
    code: error.code,
    request_id: requestId,
    ...(error.fields && { errors: error.fields }),
  }
}

/** The error handler of everything that does not speak OAuth's own error format. */
export function sendProblem(thrown: FastifyError, request: FastifyRequest, reply: FastifyReply): void {
  const error = settle(thrown, request, reply)
  const challenge = bearerChallenge(error)
  if (challenge) reply.header('www-authenticate', challenge)
  reply.type('application/problem+json').send(problemDocument(request.server.basePath, error, request.id))
}

export function sendNotFound(_request: FastifyRequest, _reply: FastifyReply): never {
  throw new AppError('not_found', 'There is nothing at this address.')
}

/** Status, logging and retry advice, which are the same whatever the format of the body. */
export function settle(
  thrown: unknown,
  request: FastifyRequest,
  reply: FastifyReply,
  caller: { isKnown: boolean; ip: string | undefined } = {
    isKnown: request.caller !== undefined,
    ip: request.ip,
  },
): AppError {
  const failed = toAppError(thrown)
  const error = caller.isKnown ? failed : request.server.failedCredentials.note(request, caller.ip, failed)
  const { status } = catalogue[error.code]
  // Of overload and of a lost database one line a request would tell nothing new.
  if (status >= 500 && !(thrown instanceof AppError))
    request.log.error({ reqId: request.id, err: thrown }, error.message)
  if (status === 503 || status === 429) reply.header('retry-after', String(error.retryAfter))
  reply.code(status)
  return error
}

/** Answers what Node's HTTP parser refused before there was a request to speak of. */
export function answerClientError(
  { basePath }: Pick<FastifyInstance, 'basePath'>,
  error: Error & { code?: string },
  socket: Socket,
): void {
  if (error.code === 'ECONNRESET' || !socket.writable) return void socket.destroy()
  const code = parserErrors[error.code ?? ''] ?? 'invalid_request'
  const problem = problemDocument(basePath, new AppError(code, 'The request is not valid HTTP.'), '')
  const body = JSON.stringify(problem)
  const head = [
    `HTTP/1.1 ${problem.status} ${STATUS_CODES[problem.status]}`,
    'Content-Type: application/problem+json',
    `Content-Length: ${Buffer.byteLength(body)}`,
    'Connection: close',
  ]
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`)
}

const parserErrors: Record<string, 'header_fields_too_large' | 'request_timeout'> = {
  HPE_HEADER_OVERFLOW: 'header_fields_too_large',
  ERR_HTTP_REQUEST_TIMEOUT: 'request_timeout',
}
