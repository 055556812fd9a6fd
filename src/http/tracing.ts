import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http'
import type { FastifyInstance } from 'fastify'
import { type Context, type Span, tracing } from '../shared/tracing.ts'

const requests = new WeakMap<IncomingMessage, { span: Span; within: Context }>()

/** Methods that the semantic conventions know; the others share a name, so that callers cannot invent any number. */
const methods = new Set([
  'GET',
  'HEAD',
  'POST',
  'PUT',
  'DELETE',
  'PATCH',
  'OPTIONS',
  'TRACE',
  'CONNECT',
  'QUERY',
])

/** Begins the span of a request, which ends with its response. It has the route instead of the URL. */
export function traceRequest(request: IncomingMessage, response: ServerResponse): void {
  if (!tracing) return
  const { method = '', httpVersion, headers, url } = request
  const known = methods.has(method) ? method : '_OTHER'
  const started = tracing.startSpan(known === method ? method : 'HTTP', {
    kind: 'server',
    attributes: {
      'http.request.method': known,
      'url.scheme': 'http',
      'network.protocol.version': httpVersion,
    },
    of: [tracing.senderOf(headers)],
  })
  requests.set(request, started)
  const { span } = started
  // The fast path serves only this route.
  if (url === '/introspect') nameSpan(span, method, url)
  response.once('close', () => {
    const { statusCode, headersSent } = response
    if (headersSent) span.setAttribute('http.response.status_code', statusCode)
    if (statusCode >= 500) tracing?.fail(span, String(statusCode))
    else if (!response.writableFinished) tracing?.fail(span, 'client_disconnected')
    span.end()
  })
}

/** Names spans by their routes, and notes the request ids. */
export function nameRequests(app: FastifyInstance): void {
  if (!tracing) return
  app.addHook('onRequest', ({ raw, method, routeOptions, id }, _reply, done) => {
    const { span } = requests.get(raw) ?? {}
    if (span && routeOptions.url) nameSpan(span, method, routeOptions.url)
    noteRequestId(raw, id)
    done()
  })
}

function nameSpan(span: Span, method: string, route: string): void {
  span.updateName(`${method} ${route}`).setAttribute('http.route', route)
}

export function noteRequestId(request: IncomingMessage, id: string): void {
  requests.get(request)?.span.setAttribute('http.response.header.x-request-id', [id])
}

/** The context of a request, for work that is done for several. */
export function contextOf(request: IncomingMessage): Context | undefined {
  return requests.get(request)?.within
}

/** Handles each request in its own context. */
export function inContext(listener: RequestListener): RequestListener {
  return (request, response) => {
    const context = contextOf(request)
    if (tracing && context) tracing.within(context, listener, request, response)
    else listener(request, response)
  }
}
