import { METHODS, maxHeaderSize } from 'node:http'
import type { FastifyInstance, onRequestHookHandler } from 'fastify'
import createRouter from 'find-my-way'
import { AppError } from '../shared/errors.ts'

/** All methods that Node.js can parse except CONNECT, which does not produce a request. */
export const everyMethod = METHODS.filter((name) => name !== 'CONNECT')

/** As long as a URL can be: the schema rejects parameters that are too long, with a better message. */
export const routerOptions = { maxParamLength: maxHeaderSize }

declare module 'fastify' {
  interface FastifyRequest {
    /** The path of the routes that do not have the method of this request. */
    otherMethodAt?: string
  }
}

/**
 * Notes the methods of every route registered from now on. The returned hook answers all other methods with 405 and Allow
 * (RFC 9110 §15.5.6), in the error format of that path.
 */
export function noteMethods(app: FastifyInstance): onRequestHookHandler {
  // The paths, all under one method. Fastify has a tree of paths for each method: with a route for every other method of
  // every path, a start would take a tenth longer.
  const paths = createRouter(routerOptions)
  const offered = new Map<string, Set<string>>()
  for (const name of everyMethod) if (!app.supportedMethods.includes(name)) app.addHttpMethod(name)
  // Without this, Fastify would answer 400 if there is no Content-Type, which gateways omit.
  app.addHttpMethod('QUERY', { overrideExisting: true })
  app.addHook('onRoute', function (this: FastifyInstance, { url, method, errorHandler = this.errorHandler }) {
    const methods = offered.get(url) ?? new Set()
    for (const name of [method].flat()) methods.add(name)
    if (offered.has(url)) return
    offered.set(url, methods)
    paths.on('GET', url, () => {}, { url, methods, errorHandler })
  })
  return (request, reply, done) => {
    const found = paths.find('GET', request.raw.url ?? '')
    if (!found || found.store.methods.has(request.method)) return done()
    const { url, methods, errorHandler } = found.store
    request.otherMethodAt = url
    request.params = found.params
    const allow = [...methods].sort().join(', ')
    reply.header('allow', allow)
    errorHandler.call(app, new AppError('method_not_allowed', `Use ${allow}.`), request, reply)
  }
}
