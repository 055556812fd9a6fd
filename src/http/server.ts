import { createServer, type RequestListener } from 'node:http'
import type { FastifyServerFactory } from 'fastify'

/** Node's HTTP server as Fastify would make it, where every request is first seen by what `before` makes of Fastify. */
export function serverWith(before: (ordinarily: RequestListener) => RequestListener): FastifyServerFactory {
  return (handler, { http, keepAliveTimeout, requestTimeout }) =>
    Object.assign(createServer(http ?? {}, before(handler)), { keepAliveTimeout, requestTimeout })
}
