import { createServer, type RequestListener, type ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { FastifyServerFactory } from 'fastify'

/** How long a connection stays open without any traffic, because the client reads nothing or never closed its side. */
const idleMs = 60_000

/**
 * Node's HTTP server as Fastify would create it, except that `before` sees every request before Fastify does, and every
 * response is closed together with its connection.
 */
export function serverWith(before: (ordinarily: RequestListener) => RequestListener): FastifyServerFactory {
  return (handler, { http, keepAliveTimeout, requestTimeout }) => {
    const listener = before(handler)
    const server = createServer(http ?? {}, (request, response) => {
      if (!response.socket) closeWith(request.socket, response)
      listener(request, response)
    })
    return Object.assign(server, { keepAliveTimeout, requestTimeout, timeout: idleMs })
  }
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
