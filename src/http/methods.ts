import type { FastifyInstance } from 'fastify'
import { AppError } from '../errors.ts'

const known = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'] as const

/**
 * Notes the methods of every route that is registered from now on. Call what it returns when the last one is, to
 * answer all other methods with 405 and Allow (RFC 9110 §15.5.6).
 */
export function noteMethods(app: FastifyInstance): (scope: FastifyInstance) => void {
  const offered = new Map<string, Set<string>>()
  app.addHook('onRoute', ({ url, method }) => {
    const methods = offered.get(url) ?? new Set()
    for (const name of [method].flat()) methods.add(name)
    offered.set(url, methods)
  })
  return (scope) => {
    for (const [url, methods] of [...offered]) {
      const allow = [...methods].sort().join(', ')
      const refused = known.filter((name) => !methods.has(name))
      if (refused.length === 0) continue
      scope.route({
        url,
        method: refused,
        schema: { hide: true },
        handler: async (_request, reply) => {
          reply.header('allow', allow)
          throw new AppError('method_not_allowed', `Use ${allow}.`)
        },
      })
    }
  }
}
