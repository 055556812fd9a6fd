import { createServer, type RequestListener, type ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { FastifyServerFactory } from 'fastify'

/** How long a connection stays on which nothing moves: the client takes in nothing, or never closed its side. */
const idleMs = 60_000

/**
 * Node's HTTP server as Fastify would make it, where every request is first seen by what `before` makes of Fastify, and
 * every response is closed with its connection.
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

/** Node says nothing to responses that wait for those before them when their connection closes. */
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
