import type { FastifyReply, FastifyRequest } from 'fastify'
import { isUser } from '../access/caller.ts'
import { callerOf } from '../http/caller.ts'
import type { Deps } from '../http/deps.ts'
import { rejectCrossOrigin } from '../http/same-origin.ts'
import type { SessionCookie } from '../sessions/cookie.ts'
import { findSession, type Recheck } from '../sessions/sessions.ts'
import { AppError } from '../shared/errors.ts'
import type { Secret } from '../shared/secret.ts'
import { admit } from './authenticate.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** The id of the session that authenticated the request; undefined if a credential in `Authorization` did. */
    sessionId: string | undefined
  }
}

type Hook = (request: FastifyRequest, reply: FastifyReply, done: (error?: Error) => void) => void

/**
 * An onRequest hook: a request without `Authorization` may be authenticated by the cookie of a session, and then acts
 * as the token or user of the session. A credential in `Authorization` was given on purpose, so it wins.
 */
export function authenticateSessions(
  deps: Pick<Deps, 'db' | 'credentials' | 'usage' | 'now' | 'issuer'> & { recheck: Recheck },
  cookie: SessionCookie,
  otherwise: Hook,
): Hook {
  async function authenticate(request: FastifyRequest, secret: Secret): Promise<void> {
    const isRead = ['GET', 'HEAD'].includes(request.method)
    if (!isRead) rejectCrossOrigin(request, deps.issuer)
    const now = deps.now()
    const found = await findSession(deps, { secret, now, isRead })
    if (!found) throw ended()
    const { principal, session } = found
    if (isUser(principal)) request.caller = callerOf(principal, request, now)
    else if (!admit(deps.usage, request, principal, now)) throw ended()
    request.sessionId = session.id
  }

  return (request, reply, done) => {
    const { authorization, cookie: header } = request.headers
    const secret = authorization === undefined ? cookie.read(header) : undefined
    if (secret === undefined) return otherwise(request, reply, done)
    authenticate(request, secret).then(() => done(), done)
  }
}

/** `unauthenticated`, since an ended session is no attempt to guess a credential. */
function ended(): AppError {
  return new AppError('unauthenticated', 'The session has ended; sign in again.')
}
