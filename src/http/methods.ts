import { METHODS } from 'node:http'
import type { FastifyInstance, RouteOptions } from 'fastify'
import { AppError } from '../shared/errors.ts'

/** All methods that Node.js can parse except CONNECT, which does not produce a request. */
export const everyMethod = METHODS.filter((name) => name !== 'CONNECT')

type Offered = { methods: Set<string>; errorHandler: RouteOptions['errorHandler'] }

/**
 * Notes the methods of every route registered from now on. After the last one, call the returned function: it answers
 * all other methods with 405 and Allow (RFC 9110 §15.5.6), in the error format of that path.
 */
export function noteMethods(app: FastifyInstance): (scope: FastifyInstance) => void {
  const offered = new Map<string, Offered>()
  for (const name of everyMethod) if (!app.supportedMethods.includes(name)) app.addHttpMethod(name)
  // Without this, Fastify would answer 400 if there is no Content-Type, which gateways omit.
  app.addHttpMethod('QUERY', { overrideExisting: true })
  app.addHook('onRoute', function (this: FastifyInstance, { url, method, errorHandler = this.errorHandler }) {
    const { methods } = offered.get(url) ?? { methods: new Set() }
    for (const name of [method].flat()) methods.add(name)
    offered.set(url, { methods, errorHandler })
  })
  return (scope) => {
    for (const [url, { methods, errorHandler }] of [...offered]) {
      const allow = [...methods].sort().join(', ')
      const refused = everyMethod.filter((name) => !methods.has(name))
      if (refused.length === 0) continue
      const reject = () => new AppError('method_not_allowed', `Use ${allow}.`)
      scope.route({
        url,
        method: refused,
        schema: { hide: true },
        ...(errorHandler && { errorHandler }),
        // Reject before the body is looked at.
        onRequest: (_request, reply, done) => {
          reply.header('allow', allow)
          done(reject())
        },
        handler: reject,
      })
    }
  }
}
