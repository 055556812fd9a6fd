import type { FastifyRequest } from 'fastify'
import { authenticateClient } from '../client-keys/assertion.ts'
import type { Deps } from '../deps.ts'
import { AppError } from '../errors.ts'
import { admit } from './authenticate.ts'

type Form = Record<string, string>
export type FormParser = (
  request: FastifyRequest,
  text: string,
  done: (error: Error | null, form?: Form) => void,
) => void

/** A form may bring the credential that the header fields do not. */
export function mayBringAssertion({ headers }: FastifyRequest): boolean {
  const type = headers['content-type'] ?? ''
  return headers.authorization === undefined && /^application\/x-www-form-urlencoded *(;|$)/i.test(type)
}

/**
 * Goes with `authenticate` that puts off whoever `mayBringAssertion`: here, where the body is known and before
 * anything is made of it, they authenticate by it (RFC 7521 §4.2) or are refused. With a form parser and not with a
 * hook of its own, so that those who come with a header pay nothing for it.
 */
export function withAssertions(parse: FormParser, deps: Deps): FormParser {
  const { usage, issuer, now } = deps

  async function authenticate(request: FastifyRequest, form: Form): Promise<void> {
    if (!hasAssertion(form))
      throw new AppError(
        'unauthenticated',
        'Send a token in the Authorization header, or a client_assertion.',
      )
    const at = now()
    const { client_assertion_type: type, client_assertion: assertion, client_id: clientId } = form
    const endpoint = `${issuer}${request.routeOptions.url}`
    const principal = await authenticateClient(deps, { type, assertion, clientId }, endpoint, at)
    admit(usage, request, principal, at)
  }

  return (request, text, done) =>
    parse(request, text, (error, form = {}) => {
      if (error) done(error)
      else if (!request.caller) authenticate(request, form).then(() => done(null, form), done)
      else if (hasAssertion(form)) done(twice())
      else done(null, form)
    })
}

function hasAssertion(form: Form): boolean {
  return form.client_assertion !== undefined || form.client_assertion_type !== undefined
}

/** RFC 6749 §2.3: "The client MUST NOT use more than one authentication method in each request." */
function twice(): AppError {
  return new AppError('invalid_request', 'The request has more than one credential; send one.')
}
