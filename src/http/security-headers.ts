import type { IncomingMessage, ServerResponse } from 'node:http'
import type { onRequestHookHandler } from 'fastify'
import helmet, { type HelmetOptions } from 'helmet'

const directives = { defaultSrc: ["'none'"], frameAncestors: ["'none'"] }

/** For everything but /docs, which has a policy of its own: no response is meant to be rendered. */
export const securityHeaders = headersOf({ contentSecurityPolicy: { useDefaults: false, directives } })

/** An onRequest hook. */
export const addSecurityHeaders: onRequestHookHandler = (_request, reply, done) => {
  reply.headers(securityHeaders)
  done()
}

/**
 * The headers that helmet sets. They are always the same, so they are computed once: helmet sets them one by one on
 * Node's own response, which then slows down Fastify's headers too.
 */
function headersOf(options: HelmetOptions): Record<string, string> {
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
  return headers
}
