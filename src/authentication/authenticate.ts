import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Caller } from '../access/caller.ts'
import { type Credential, isGoodFrom } from '../access/credential.ts'
import type { UsageRecorder } from '../credentials/usage-recorder.ts'
import { callerOf } from '../http/caller.ts'
import type { Deps } from '../http/deps.ts'
import { plainAddress } from '../shared/addresses.ts'
import { type AppError, badCredential } from '../shared/errors.ts'
import { type Presented, type PresentedOptions, presentedIn } from './presented-credential.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** The authenticated caller; set by the `authenticate` hook of the enclosing scope. */
    caller: Caller
  }
}

export type AuthenticateOptions = Pick<Deps, 'credentials' | 'usage' | 'now'> & {
  basic?: PresentedOptions['basic']
  /**
   * Whether a request without a credential in its header fields may still present one in its body; it has no caller
   * until then.
   */
  mayAuthenticateLater?: (request: FastifyRequest, reply: FastifyReply) => boolean
}

/** An onRequest hook: authenticates before any body is read. Awaits nothing if the credential is cached. */
export function authenticate({
  credentials,
  usage,
  now,
  basic = 'no',
  mayAuthenticateLater,
}: AuthenticateOptions) {
  const decide = (
    request: FastifyRequest,
    principal: Credential | undefined,
    clientId: string | undefined,
    at: Date,
  ): AppError | undefined => {
    const known = principal && (clientId === undefined || clientId === principal.tokenId)
    if (!known || !admit(usage, request, principal, at)) {
      return badCredential()
    }
    return undefined
  }

  const present = (request: FastifyRequest, reply: FastifyReply): Presented | undefined => {
    try {
      return presentedIn(request.raw.rawHeaders, { basic, fields: [] })
    } catch (error) {
      if (mayAuthenticateLater?.(request, reply)) return undefined
      throw error
    }
  }

  return (request: FastifyRequest, reply: FastifyReply, done: (error?: Error) => void): void => {
    const presented = present(request, reply)
    if (!presented) return void done()
    const { secret, clientId } = presented
    const at = now()
    const found = credentials.verify(secret, at, plainAddress(request.ip))
    if (found instanceof Promise) {
      found.then((principal) => done(decide(request, principal, clientId, at)), done)
    } else done(decide(request, found, clientId, at))
  }
}

/** Makes the principal the caller of the request; false if its credential is not valid from this address. */
export function admit(
  usage: UsageRecorder,
  request: FastifyRequest,
  principal: Credential,
  at: Date,
): boolean {
  const ip = plainAddress(request.ip)
  if (!isGoodFrom(principal, ip)) {
    usage.reject('network')
    return false
  }
  usage.note(principal, at, ip)
  request.caller = callerOf(principal, request, at)
  return true
}
