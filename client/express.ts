import type { IncomingMessage, ServerResponse } from 'node:http'
import { admit, checkDemand } from './bearer.ts'
import type { Introspection } from './introspection.ts'
import type { Demand, Verifier } from './verifier.ts'

declare global {
  namespace Express {
    interface Request {
      /** The introspection of the request's token, set by `authenticate`. */
      introspection?: Introspection
    }
  }
}

type Incoming = IncomingMessage & { introspection?: Introspection; originalUrl?: string }
type Middleware = (request: Incoming, response: ServerResponse, next: (error?: unknown) => void) => void

/** Creates middleware for Express or Connect that admits requests whose token meets the conditions. */
export function createAuthenticate(verifier: Verifier): (demand?: Demand) => Middleware {
  return (demand = {}) => {
    checkDemand(demand)
    return (request, response, next) => {
      const { rawHeaders, originalUrl: url = request.url } = request
      admit(verifier, { rawHeaders, url }, demand).then((admission) => {
        if ('token' in admission) {
          request.introspection = admission.token
          return next()
        }
        const { status, headers, body } = admission.refusal
        response
          .writeHead(status, { ...headers, 'content-type': 'application/json' })
          .end(JSON.stringify(body))
      }, next)
    }
  }
}
