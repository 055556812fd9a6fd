import type { FastifyReply, FastifyRequest } from 'fastify'
import { authenticateClient } from '../client-keys/assertion.ts'
import type { Deps } from '../http/deps.ts'
import { AppError } from '../shared/errors.ts'
import { admit } from './authenticate.ts'

type Form = Record<string, string>
type FormParser = (
  request: FastifyRequest,
  text: string,
  done: (error: Error | null, form?: Form) => void,
) => void

/** How many requests may be in progress that presented no credential in their header fields. */
export const maxUnauthenticated = 100

const isForm = /^application\/x-www-form-urlencoded[ \t]*(;|$)/i

/**
 * Client authentication in the request body (RFC 7521 §4.2). `mayAuthenticateLater` lets `authenticate` defer such requests; they
 * are authenticated or rejected as soon as the body is parsed, before it is used. This happens in the parser rather
 * than in another hook, so that requests with a header field pay nothing for it.
 */
export function clientAssertions(deps: Deps) {
  const { usage, issuer, now } = deps
  let unknown = 0

  async function authenticate(request: FastifyRequest, form: Form): Promise<void> {
    if (!hasAssertion(form))
      throw new AppError(
        'unauthenticated',
        'Send a token in the Authorization header, or a client_assertion.',
      )
    const at = now()
    const { client_assertion_type: type, client_assertion: assertion, client_id: clientId } = form
    const endpoint = `${issuer}${request.routeOptions.url}`
    try {
      const principal = await authenticateClient(deps, { type, assertion, clientId }, endpoint, at)
      if (!admit(usage, request, principal, at))
        throw new AppError('invalid_client', 'The client may not authenticate from this address.')
    } catch (error) {
      if (error instanceof AppError && error.cause)
        request.log.warn({ reqId: request.id, err: error.cause }, error.message)
      throw error
    }
  }

  return {
    /** Only for POST: the bodies of other methods are not parsed, so the request would never be authenticated. */
    mayAuthenticateLater({ method, headers }: FastifyRequest, { raw }: FastifyReply): boolean {
      if (method !== 'POST' || headers.authorization !== undefined) return false
      if (!isForm.test(headers['content-type'] ?? '')) return false
      // Without this limit, strangers who send bodies byte by byte, or clients whose jwks_uri is slow, would take all
      // slots from callers that present a credential.
      if (unknown >= maxUnauthenticated)
        throw new AppError('overloaded', 'Too many unauthenticated requests are in progress.')
      unknown += 1
      raw.once('close', () => {
        unknown -= 1
      })
      return true
    },

    parser(parse: FormParser): FormParser {
      return (request, text, done) =>
        parse(request, text, (error, form = {}) => {
          if (error) done(error)
          else if (!request.caller) {
            if (request.slot) request.slot.isWorking = true
            authenticate(request, form).then(() => done(null, form), done)
          } else if (hasAssertion(form)) done(multipleMethods())
          else done(null, form)
        })
    },
  }
}

function hasAssertion(form: Form): boolean {
  return form.client_assertion !== undefined || form.client_assertion_type !== undefined
}

/** RFC 6749 §2.3: "The client MUST NOT use more than one authentication method in each request." */
function multipleMethods(): AppError {
  return new AppError('invalid_request', 'The request has more than one credential; send one.')
}
