import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import { AppError, catalogue, type ErrorCode } from '../shared/errors.ts'
import { bearerChallenge } from './challenge.ts'
import { settle } from './problem.ts'
import { describeStatus, errorHeaders, ref, withThrottling } from './schemas.ts'

export const scimType = 'application/scim+json'

const schema = 'urn:ietf:params:scim:api:messages:2.0:Error'

export const ScimError = Type.Object(
  {
    schemas: Type.Array(Type.String(), { examples: [[schema]] }),
    status: Type.String({ description: 'The HTTP status.', examples: ['400'] }),
    scimType: Type.Optional(
      Type.String({ description: 'The kind of error, for programs.', examples: ['invalidValue'] }),
    ),
    detail: Type.String({
      description: 'What went wrong in this request, for people.',
      examples: ['body userName is required'],
    }),
  },
  { $id: 'ScimError', description: 'An error of RFC 7644 §3.12.' },
)

/** The errors of SCIM operations, by status. */
export function scimErrors(...statuses: number[]): Record<number, object> {
  return Object.fromEntries(
    withThrottling(statuses).map((status) => {
      const codes = (Object.keys(catalogue) as ErrorCode[]).filter((code) => codesOfScim(code, status))
      const examples = Object.fromEntries(
        codes.map((code) => [
          code,
          {
            summary: catalogue[code].title,
            description: catalogue[code].advice,
            value: scimDocument(new AppError(code, `${catalogue[code].title}.`)),
          },
        ]),
      )
      const content = { [scimType]: { schema: ref(ScimError), examples } }
      return [status, { description: describeStatus(status), ...errorHeaders(status), content }]
    }),
  )
}

function codesOfScim(code: ErrorCode, status: number): boolean {
  return catalogue[code].status === status && (status !== 409 || code === 'already_exists')
}

/** The error handler of SCIM (RFC 7644 §3.12). */
export function sendScimError(thrown: FastifyError, request: FastifyRequest, reply: FastifyReply): void {
  const error = settle(thrown, request, reply)
  const challenge = bearerChallenge(error)
  if (challenge) reply.header('www-authenticate', challenge)
  reply.type(scimType).send(scimDocument(error))
}

function scimDocument({ code, message, scimType: kind }: AppError) {
  const scimType = kind ?? (code === 'invalid_request' ? 'invalidSyntax' : undefined)
  return {
    schemas: [schema],
    status: String(catalogue[code].status),
    ...(scimType && { scimType }),
    detail: message,
  }
}
