import type { FastifyInstance, FastifyRequest } from 'fastify'
import { type Holder, holderOf, type Place, type Places } from '../access/concurrency.ts'
import { callerNetwork } from '../addresses.ts'
import { AppError } from '../errors.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** What it takes of what there is for the requests of its scope; null where it was refused one. */
    place: RequestPlace | null
  }
}

/**
 * Held until the response is closed, however that comes about, and until nothing is done for the request any more: who
 * leaves at once must not have more and more work wait for the database.
 */
export class RequestPlace {
  readonly #place: Place
  #isWorking = true
  #isClosed = false
  /** Whether it is counted for who sent the request. */
  isShared = false

  constructor(place: Place) {
    this.#place = place
  }

  get isClosed(): boolean {
    return this.#isClosed
  }

  set isWorking(isWorking: boolean) {
    this.#isWorking = isWorking
    this.#release()
  }

  close(): void {
    this.#isClosed = true
    this.#release()
  }

  share(holder: Holder): boolean {
    this.isShared = this.#place.moveTo(holder)
    return this.isShared
  }

  #release(): void {
    if (this.#isClosed && !this.#isWorking) this.#place.free()
  }
}

/**
 * Lets only so many requests of this scope be in progress: what comes beyond that would only wait, and is told at
 * once to come back. With it the queues for database connections are bounded as well. A scope's flood does not keep
 * another scope from answering.
 */
export function limitRequests(
  scope: FastifyInstance,
  places: Places,
  callerOf = ({ caller }: FastifyRequest): Holder | undefined => caller && holderOf(caller.principal),
): void {
  scope.decorateRequest('place', null)

  const share = (request: FastifyRequest): AppError | undefined => {
    if (!request.place || request.place.isShared) return undefined
    const holder = callerOf(request)
    if (!holder || request.place.share(holder)) return undefined
    return new AppError('overloaded', 'This caller or its organization has too many requests in progress.')
  }

  scope.addHook('onRequest', (request, { raw }, done) => {
    const taken = places.take({ caller: callerNetwork(request.ip) })
    if (!taken) return done(new AppError('overloaded', 'Too many requests are in progress.'))
    const place = new RequestPlace(taken)
    request.place = place
    // Not onResponse, which does not run if the client leaves before the answer begins.
    raw.once('close', () => place.close())
    done()
  })
  // The caller is known by now, unless the body names it; to wait for the body is not work.
  scope.addHook('preParsing', (request, _reply, payload, done) => {
    if (request.place) request.place.isWorking = false
    done(share(request), payload)
  })
  scope.addHook('preHandler', (request, _reply, done) => {
    if (request.place?.isClosed) return done(new AppError('unavailable', 'The client has left.'))
    if (request.place) request.place.isWorking = true
    done(share(request))
  })
  // Runs for every answer, be there somebody to read it or not.
  scope.addHook('onSend', ({ place }, _reply, _payload, done) => {
    if (place) place.isWorking = false
    done()
  })
}
