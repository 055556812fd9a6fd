import type { FastifyInstance, FastifyRequest } from 'fastify'
import { type Holder, holderOf, type Slot, type Slots } from '../access/concurrency.ts'
import { callerNetwork } from '../shared/addresses.ts'
import { AppError } from '../shared/errors.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** The slot of this request among those of its scope; null if there was none left. */
    slot: RequestSlot | null
  }
}

/**
 * Held until the response is closed and work for the request has ended: otherwise clients that disconnect early could
 * queue up more and more work for the database.
 */
export class RequestSlot {
  readonly #slot: Slot
  #isWorking = true
  #isClosed = false
  /** Whether the slot is counted for the caller who sent the request. */
  isShared = false

  constructor(slot: Slot) {
    this.#slot = slot
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
    this.isShared = this.#slot.moveTo(holder)
    return this.isShared
  }

  #release(): void {
    if (this.#isClosed && !this.#isWorking) this.#slot.free()
  }
}

/**
 * Limits the number of concurrent requests in this scope. Further ones get an immediate error with retry advice instead
 * of queueing. This also bounds the queues for database connections, and keeps a flood in one scope from blocking
 * others.
 */
export function limitRequests(
  scope: FastifyInstance,
  slots: Slots,
  callerOf = ({ caller }: FastifyRequest): Holder | undefined => caller && holderOf(caller.principal),
): void {
  scope.decorateRequest('slot', null)

  const share = (request: FastifyRequest): AppError | undefined => {
    if (!request.slot || request.slot.isShared) return undefined
    const holder = callerOf(request)
    if (!holder || request.slot.share(holder)) return undefined
    return new AppError('overloaded', 'This caller or its organization has too many requests in progress.')
  }

  scope.addHook('onRequest', (request, { raw }, done) => {
    const taken = slots.take({ caller: callerNetwork(request.ip) })
    if (!taken) return done(new AppError('overloaded', 'Too many requests are in progress.'))
    const slot = new RequestSlot(taken)
    request.slot = slot
    // Not onResponse, which does not run if the client disconnects before the response begins.
    raw.once('close', () => slot.close())
    done()
  })
  // The caller is known by now unless the body identifies it. Reading the body does not count as work.
  scope.addHook('preParsing', (request, _reply, payload, done) => {
    if (request.slot) request.slot.isWorking = false
    done(share(request), payload)
  })
  scope.addHook('preHandler', (request, _reply, done) => {
    if (request.slot?.isClosed) return done(new AppError('unavailable', 'The client has disconnected.'))
    if (request.slot) request.slot.isWorking = true
    done(share(request))
  })
  // Runs for every response, even if the client is gone.
  scope.addHook('onSend', ({ slot }, _reply, _payload, done) => {
    if (slot) slot.isWorking = false
    done()
  })
}
