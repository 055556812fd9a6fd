import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { FastifyServerFactory } from 'fastify'
import { tracing } from '../shared/tracing.ts'
import type { UnservedReason } from './problem.ts'
import { inContext, traceRequest } from './tracing.ts'

/** How long a connection stays open without any traffic, because the client reads nothing or never closed its side. */
const idleMs = 60_000

/**
 * Node's HTTP server as Fastify would create it, except that `before` sees every request before Fastify does, every
 * response is closed together with its connection, and `reject` answers what Node would answer without a body.
 */
export function serverWith(
  before: (ordinarily: RequestListener) => RequestListener,
  reject: (reason: UnservedReason, request: IncomingMessage, response: ServerResponse) => void,
): FastifyServerFactory {
  return (handler, { http, keepAliveTimeout, requestTimeout }) => {
    const listener = before(tracing ? inContext(handler) : handler)
    const server = createServer({ ...(http as object), requireHostHeader: false }, (request, response) => {
      if (tracing) traceRequest(request, response)
      if (!response.socket) closeWith(request.socket, response)
      // RFC 9112 §3.2.
      if (request.headers.host === undefined && request.httpVersion === '1.1')
        reject('missing_host', request, response)
      else listener(request, response)
    })
    server.on('checkExpectation', (request: IncomingMessage, response: ServerResponse) =>
      reject('unknown_expectation', request, response),
    )
    server.on('connect', (_request, socket: Socket) => {
      // Node removes its own listeners.
      socket.on('error', () => socket.destroy())
      server.emit('clientError', Object.assign(new Error(), { code: 'CONNECT' }), socket)
    })
    return Object.assign(server, { keepAliveTimeout, requestTimeout, timeout: idleMs })
  }
}

const slowBodies = new WeakSet<Socket>()

/** The request on this connection may take longer to arrive than others, until the returned function is called. */
export function allowSlowBody(socket: Socket): () => void {
  slowBodies.add(socket)
  return () => void slowBodies.delete(socket)
}

/** Whether Node reports a timeout for a request that may take longer. */
export function isSlowBody(error: NodeJS.ErrnoException, socket: Socket): boolean {
  return error.code === 'ERR_HTTP_REQUEST_TIMEOUT' && slowBodies.has(socket)
}

const pipelined = new WeakMap<Socket, Set<ServerResponse>>()

/** Node does not close responses that are queued behind earlier ones when their connection closes. */
function closeWith(socket: Socket, response: ServerResponse): void {
  const waiting = pipelined.get(socket) ?? new Set()
  if (!pipelined.has(socket)) {
    pipelined.set(socket, waiting)
    socket.once('close', () => {
      for (const one of waiting) {
        if (one.socket) continue
        one.destroy()
        one.emit('close')
      }
    })
  }
  waiting.add(response)
  response.once('close', () => waiting.delete(response))
}
