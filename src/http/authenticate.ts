import type { FastifyRequest } from 'fastify'
import type { Caller } from '../access/caller.ts'
import type { Deps } from '../deps.ts'
import { AppError } from '../errors.ts'
import { type Credential, verifySecret } from '../introspection/credential.ts'
import { type PresentedOptions, presentedIn } from './presented.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** Who asks; set by the `authenticate` hook of the scope that the route is in. */
    caller: Caller
  }
}

export type AuthenticateOptions = Pick<Deps, 'db' | 'now' | 'environment'> & {
  basic?: PresentedOptions['basic']
}

/** An onRequest hook: no body is read before it is known who sends it. */
export function authenticate({ db, now, environment, basic = 'no' }: AuthenticateOptions) {
  return async (request: FastifyRequest): Promise<void> => {
    const { secret, clientId } = presentedIn(request.raw.rawHeaders, { basic, fields: [] })
    const at = now()
    const principal = await verifySecret(db, secret, at, environment)
    if (!principal || (clientId !== undefined && clientId !== principal.tokenId)) {
      throw new AppError('invalid_token', 'The credential is unknown, expired or revoked.')
    }
    request.caller = { principal, actor: actorOf(principal), requestId: request.id, ip: request.ip, now: at }
  }
}

function actorOf({ tokenId, name }: Credential): Caller['actor'] {
  return { type: 'token', id: tokenId, name }
}
