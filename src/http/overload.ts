import { Readable } from 'node:stream'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { AppError } from '../errors.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** It counts among the requests that are in progress. */
    admitted: boolean
  }
}

/** How many requests are in progress, of as many as there may be. */
export type InProgress = { enter(): boolean; leave(): void }

export function limitTo(most: number): InProgress {
  let count = 0
  return {
    enter() {
      if (count >= most) return false
      count += 1
      return true
    },
    leave() {
      count -= 1
    },
  }
}

/**
 * Lets only so many requests of this scope be in progress: what comes beyond that would only wait, and is told at
 * once to come back. With it the queues for database connections are bounded as well. A scope's flood does not keep
 * another scope from answering.
 */
export function limitRequests(
  scope: FastifyInstance,
  inProgress: InProgress,
  { streams }: { streams: boolean } = { streams: false },
): void {
  scope.decorateRequest('admitted', false)
  const release = (request: FastifyRequest) => {
    if (request.admitted) inProgress.leave()
    request.admitted = false
  }
  scope.addHook('onRequest', (request, _reply, done) => {
    if (!inProgress.enter()) return done(new AppError('overloaded', 'Too many requests are in progress.'))
    request.admitted = true
    done()
  })
  // Also runs when the caller goes away before the answer, unless that is a stream.
  scope.addHook('onResponse', (request, _reply, done) => {
    release(request)
    done()
  })
  if (!streams) return
  scope.addHook('onSend', (request, reply, payload, done) => {
    if (payload instanceof Readable) reply.raw.once('close', () => release(request))
    done()
  })
}
