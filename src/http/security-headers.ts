import type { IncomingMessage, ServerResponse } from 'node:http'
import type { onRequestHookHandler } from 'fastify'
import helmet, { type HelmetOptions } from 'helmet'

const directives = { defaultSrc: ["'none'"], frameAncestors: ["'none'"] }

/** Nothing but /docs, which brings a policy of its own, is there to be rendered. */
export const securityHeaders = headersOf({ contentSecurityPolicy: { useDefaults: false, directives } })

/** An onRequest hook. */
export const addSecurityHeaders: onRequestHookHandler = (_request, reply, done) => {
  reply.headers(securityHeaders)
  done()
}

/**
 * What helmet sets on a response. It is the same each time, and so is asked for once: helmet sets one header field after
 * the other on Node's own response, which from then on handles each of Fastify's like that too.
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
