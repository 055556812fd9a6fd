import type { IncomingMessage, ServerResponse } from 'node:http'
import type { onRequestHookHandler } from 'fastify'
import helmet, { type HelmetOptions } from 'helmet'

/**
 * A hook that has every response say what helmet says. It is the same each time, and so is asked for once: helmet sets one
 * header field after the other on Node's own response, which from then on handles each of Fastify's like that too.
 */
export function securityHeaders(options: HelmetOptions): onRequestHookHandler {
  const headers: Record<string, string> = {}
  const response = {
    setHeader(name: string, value: string) {
      headers[name.toLowerCase()] = value
    },
    removeHeader() {},
  }
  helmet(options)({} as IncomingMessage, response as unknown as ServerResponse, (error) => {
    if (error) throw error
  })
  return (_request, reply, done) => {
    reply.headers(headers)
    done()
  }
}
