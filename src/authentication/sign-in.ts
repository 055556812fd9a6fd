import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Caller } from '../access/caller.ts'
import { plainAddress } from '../addresses.ts'
import { AppError } from '../errors.ts'
import type { SignedIn, SignIn } from '../issuers/sign-in.ts'
import { type AuthenticateOptions, authenticate } from './authenticate.ts'
import { presentedIn } from './presented-credential.ts'

/**
 * An onRequest hook that does what `authenticate` does, and treats a bearer token that is not a Counterfoil token as
 * the sign-in of a user. It adds no work for valid Counterfoil tokens.
 */
export function authenticateUsers(options: AuthenticateOptions, signIn: SignIn) {
  const authenticateToken = authenticate(options)
  return (request: FastifyRequest, reply: FastifyReply, done: (error?: Error) => void): void => {
    authenticateToken(request, reply, (refusal) => {
      if (!(refusal instanceof AppError && refusal.code === 'invalid_token')) return done(refusal)
      const { secret } = presentedIn(request.raw.rawHeaders, { basic: 'no', fields: [] })
      const now = options.now()
      const admit = (found: SignedIn | undefined) => {
        if (found) request.caller = callerOf(found, request, now)
        done(found ? undefined : refusal)
      }
      const refuse = (error: Error) => {
        const { cause, code } = error as Partial<AppError>
        if (cause && code === 'invalid_token')
          request.log.info({ reqId: request.id, reason: (cause as Error).message }, 'sign-in token refused')
        else if (cause) request.log.warn({ reqId: request.id, err: cause }, error.message)
        done(error)
      }
      signIn(secret, organizationIn(request), now).then(admit, refuse)
    })
  }
}

function organizationIn({ params }: FastifyRequest): string | undefined {
  return (params as { organization?: string }).organization
}

function callerOf({ user, issuer }: SignedIn, { id: requestId, ip }: FastifyRequest, now: Date): Caller {
  const { ownerSubject: id, ownerEmail } = user
  return {
    principal: user,
    actor: { type: 'user', id, name: ownerEmail ?? id, issuer },
    ...{ requestId, ip: plainAddress(ip), now },
  }
}
