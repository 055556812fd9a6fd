import type { FastifyInstance, FastifyRequest } from 'fastify'
import { AppError } from '../errors.ts'

/**
 * Lets at most `most` requests of this scope be in progress: what comes beyond that would only wait, and is told at
 * once to come back. With it the queues for database connections are bounded as well. A scope's flood does not keep
 * another scope from answering.
 */
export function limitRequests(scope: FastifyInstance, most: number): void {
  const admitted = new WeakSet<FastifyRequest>()
  let inProgress = 0
  scope.addHook('onRequest', (request, _reply, done) => {
    if (inProgress >= most) return done(new AppError('overloaded', 'Too many requests are in progress.'))
    inProgress += 1
    admitted.add(request)
    done()
  })
  // Also runs when the caller goes away before the answer.
  scope.addHook('onResponse', (request, _reply, done) => {
    if (admitted.delete(request)) inProgress -= 1
    done()
  })
}
