import type { FastifyRequest } from 'fastify'
import { actorOf, type Caller, type Principal } from '../access/caller.ts'
import { plainAddress } from '../shared/addresses.ts'

/** The caller behind a request of this principal. */
export function callerOf(principal: Principal, { id: requestId, ip }: FastifyRequest, now: Date): Caller {
  // X-Forwarded-For may contain anything.
  return { principal, actor: actorOf(principal), requestId, ip: plainAddress(ip), now }
}
