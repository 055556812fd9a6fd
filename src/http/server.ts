import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { FastifyServerFactory } from 'fastify'

/** Node's HTTP server as Fastify would make it, where `first` sees every request before Fastify does. */
export function serverWith(
  first: (request: IncomingMessage, response: ServerResponse, ordinarily: () => void) => void,
): FastifyServerFactory {
  return (handler, { http, keepAliveTimeout, requestTimeout }) => {
    const server = createServer(http ?? {}, (request, response) =>
      first(request, response, () => handler(request, response)),
    )
    return Object.assign(server, { keepAliveTimeout, requestTimeout })
  }
}
