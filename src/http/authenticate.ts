import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Caller } from '../access/caller.ts'
import { plainAddress } from '../addresses.ts'
import type { Deps } from '../deps.ts'
import { AppError } from '../errors.ts'
import { type Credential, isGoodFrom } from '../introspection/credential.ts'
import { type PresentedOptions, presentedIn } from './presented.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** Who asks; set by the `authenticate` hook of the scope that the route is in. */
    caller: Caller
  }
}

export type AuthenticateOptions = Pick<Deps, 'credentials' | 'usage' | 'now'> & {
  basic?: PresentedOptions['basic']
}

/** An onRequest hook: no body is read before it is known who sends it. Where it is in memory nothing is awaited. */
export function authenticate({ credentials, usage, now, basic = 'no' }: AuthenticateOptions) {
  const admit = (
    request: FastifyRequest,
    principal: Credential | undefined,
    clientId: string | undefined,
    at: Date,
  ): AppError | undefined => {
    // What stands in X-Forwarded-For may be anything.
    const ip = plainAddress(request.ip)
    const known = principal && (clientId === undefined || clientId === principal.tokenId)
    if (!known || !isGoodFrom(principal, ip))
      return new AppError(
        'invalid_token',
        'The credential is unknown, expired, revoked or not good from there.',
      )
    const { id: requestId } = request
    usage.note(principal, at, ip)
    request.caller = { principal, actor: actorOf(principal), requestId, ip, now: at }
    return undefined
  }

  return (request: FastifyRequest, _reply: FastifyReply, done: (error?: Error) => void): void => {
    const { secret, clientId } = presentedIn(request.raw.rawHeaders, { basic, fields: [] })
    const at = now()
    const found = credentials.verify(secret, at)
    if (found instanceof Promise) {
      found.then((principal) => done(admit(request, principal, clientId, at)), done)
    } else done(admit(request, found, clientId, at))
  }
}

function actorOf({ tokenId, name }: Credential): Caller['actor'] {
  return { type: 'token', id: tokenId, name }
}
