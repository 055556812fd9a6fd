import { randomUUID } from 'node:crypto'
import { type IncomingMessage, type ServerResponse, STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { plainAddress } from '../shared/addresses.ts'
import { AppError, catalogue, type ErrorCode } from '../shared/errors.ts'
import { bearerChallenge } from './challenge.ts'
import { securityHeaders } from './security-headers.ts'
import { toAppError } from './to-app-error.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** The prefix of every path sent to callers: the path of PUBLIC_URL, such as `/prefix`, or an empty string. */
    basePath: string
  }
}

/** The RFC 9457 body of an error. Its `type` has the full path, as §3.1.1 recommends for relative references. */
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

/** The error handler of everything that does not use OAuth's error format. */
export function sendProblem(thrown: FastifyError, request: FastifyRequest, reply: FastifyReply): void {
  const error = settle(thrown, request, reply)
  const challenge = bearerChallenge(error)
  if (challenge) reply.header('www-authenticate', challenge)
  reply.type('application/problem+json').send(problemDocument(request.server.basePath, error, request.id))
}

export function sendNotFound({ raw }: FastifyRequest, _reply: FastifyReply): never {
  if (undecodable.has(raw)) throw new AppError('invalid_request', 'The URL has broken percent-encoding.')
  throw new AppError('not_found', 'There is no resource at this path.')
}

const undecodable = new WeakSet<IncomingMessage>()

/**
 * Answers requests whose URL Fastify's router cannot decode. Fastify would run no hooks, so they are dispatched again
 * to a path that does not exist, and get a request id, headers and a log line like all others.
 */
export function answerUndecodable(
  _error: FastifyError,
  { server, raw }: FastifyRequest,
  reply: FastifyReply,
): void {
  undecodable.add(raw)
  // Paths with an error format of their own use it here too.
  raw.url = `${/^\/(?:scim\/v2|ssf)\//.exec(raw.url ?? '')?.[0] ?? '/'}undecodable`
  server.routing(raw, reply.raw)
}

/** Sets status, log entry and retry advice, which do not depend on the format of the body. */
export function settle(
  thrown: unknown,
  request: FastifyRequest,
  reply: FastifyReply,
  caller: { isKnown: boolean; ip: string | undefined } = {
    isKnown: request.caller !== undefined,
    ip: request.ip,
  },
): AppError {
  const failed = toAppError(thrown, request.routeOptions.bodyLimit)
  const error = caller.isKnown ? failed : request.server.failedCredentials.note(request, caller.ip, failed)
  const { status } = catalogue[error.code]
  // Not for overload and database outages, where a line per request adds nothing.
  if (status >= 500 && !(thrown instanceof AppError))
    request.log.error({ reqId: request.id, err: thrown }, error.message)
  if (status === 503 || status === 429) reply.header('retry-after', String(error.retryAfter))
  reply.code(status)
  return error
}

/** For an error after the response has begun, which cannot change its status. */
export function settleLate(thrown: unknown, request: FastifyRequest): AppError {
  const error = toAppError(thrown, request.routeOptions.bodyLimit)
  if (error.code === 'internal_error') request.log.error({ reqId: request.id, err: thrown }, error.message)
  return error
}

type Answering = Pick<FastifyInstance, 'basePath' | 'log'>

/** Answers what Node's HTTP parser rejected before a request object existed. */
export function answerClientError(
  app: Answering,
  { code: reason }: Error & { code?: string },
  // Node keeps the response in progress here, and checks it in the same way.
  socket: Socket & { _httpMessage?: ServerResponse | null },
): void {
  const { _httpMessage: response } = socket
  // A second response in the middle of another would be read as part of it.
  if (reason === 'ECONNRESET' || !socket.writable || response?.headersSent) return void socket.destroy()
  if (response?.req.complete) {
    // The error is in what follows this request: a response now would be read as the response to this one. Close
    // afterwards.
    response.shouldKeepAlive = false
    return
  }
  const refusal = parserErrors[reason ?? ''] ?? ['invalid_request', 'The request is not valid HTTP.']
  const ip = plainAddress(socket.remoteAddress)
  const { status, headers, body } = refusedByServer(app, refusal, { method: null, reason, ip })
  const head = Object.entries(headers).map(([name, value]) => `${name}: ${value}`)
  socket.end([`HTTP/1.1 ${status} ${STATUS_CODES[status]}`, ...head, '', body].join('\r\n'))
}

/** Answers a request that Node would answer without a body. */
export function answerUnserved(
  app: Answering,
  reason: UnservedReason,
  { method, socket }: IncomingMessage,
  response: ServerResponse,
): void {
  const ip = plainAddress(socket.remoteAddress)
  const { status, headers, body } = refusedByServer(app, unserved[reason], { method, reason, ip })
  response.writeHead(status, headers).end(body)
}

/** Builds and logs the response to a request that does not reach Fastify. */
function refusedByServer({ basePath, log }: Answering, [code, detail]: Refusal, line: object) {
  const reqId = randomUUID()
  const problem = problemDocument(basePath, new AppError(code, detail), reqId)
  const { status } = problem
  log.info({ reqId, route: null, status, ...line }, 'request')
  const body = JSON.stringify(problem)
  const headers = {
    ...securityHeaders,
    'content-type': 'application/problem+json',
    'content-length': Buffer.byteLength(body),
    'x-request-id': reqId,
    connection: 'close',
  }
  return { status, headers, body }
}

type Refusal = [code: ErrorCode, detail: string]

const parserErrors: Record<string, Refusal> = {
  HPE_HEADER_OVERFLOW: ['header_fields_too_large', 'The URL and the header fields together are too large.'],
  ERR_HTTP_REQUEST_TIMEOUT: ['request_timeout', 'The request did not arrive completely in time.'],
  CONNECT: ['invalid_request', 'CONNECT is not supported: this server is not a proxy.'],
}

const unserved = {
  missing_host: ['invalid_request', 'The request has no Host header field.'],
  unknown_expectation: ['expectation_failed', 'The only supported expectation is 100-continue.'],
} satisfies Record<string, Refusal>

export type UnservedReason = keyof typeof unserved
