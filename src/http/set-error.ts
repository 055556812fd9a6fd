import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import { type AppError, catalogue } from '../shared/errors.ts'
import { settle } from './problem.ts'
import { describeStatus, errorHeaders, ref } from './schemas.ts'

export const SecurityEventError = Type.Object(
  {
    err: Type.String({
      description:
        'The kind of error: one of RFC 8935 §2.4, or for other statuses than 400 one of this service.',
      examples: ['invalid_request'],
    }),
    description: Type.String({ description: 'What is wrong.', examples: ['iss is missing.'] }),
  },
  { $id: 'SecurityEventError', description: 'An error of RFC 8935 §2.3.' },
)

/** The errors of a delivery of security events, by status. */
export function securityEventErrors(...statuses: number[]): Record<number, object> {
  const content = { 'application/json': { schema: ref(SecurityEventError) } }
  return Object.fromEntries(
    statuses.map((status) => [
      status,
      { description: describeStatus(status), ...errorHeaders(status), content },
    ]),
  )
}

/** RFC 8935 §2.3: a rejected token is a 400, for any reason. */
export function sendSecurityEventError(
  thrown: FastifyError,
  request: FastifyRequest,
  reply: FastifyReply,
): void {
  const error = settle(thrown, request, reply)
  if (error.setError && error.code !== 'too_many_requests') reply.code(400)
  reply.type('application/json').send({ err: kindOf(error), description: error.message })
}

function kindOf({ setError, code }: AppError): string {
  return setError ?? (catalogue[code].status === 400 ? 'invalid_request' : code)
}
