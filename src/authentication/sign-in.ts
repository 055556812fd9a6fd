import type { FastifyReply, FastifyRequest } from 'fastify'
import type { User } from '../access/caller.ts'
import { callerOf } from '../http/caller.ts'
import type { SignIn } from '../issuers/sign-in.ts'
import { AppError } from '../shared/errors.ts'
import { type AuthenticateOptions, authenticate } from './authenticate.ts'
import { presentedIn } from './presented-credential.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /**
     * Its `organization` is a query parameter. Elsewhere only the path selects the organization whose issuers apply.
     */
    organizationInQuery?: boolean
  }
}

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
      const admit = (found: User | undefined) => {
        if (found) request.caller = callerOf(found, request, now)
        done(found ? undefined : refusal)
      }
      const reject = (error: Error) => {
        const { cause, code } = error as Partial<AppError>
        if (cause && code === 'invalid_token')
          request.log.info({ reqId: request.id, reason: (cause as Error).message }, 'sign-in token rejected')
        else if (cause) request.log.warn({ reqId: request.id, err: cause }, error.message)
        done(error)
      }
      signIn(secret, organizationIn(request), now).then(admit, reject)
    })
  }
}

/** The organization whose issuers may decide. A query parameter counts only if it is given once. */
function organizationIn({ params, query, routeOptions }: FastifyRequest): string | undefined {
  const named = routeOptions.config.organizationInQuery ? query : params
  const { organization } = named as { organization?: unknown }
  return typeof organization === 'string' ? organization : undefined
}
