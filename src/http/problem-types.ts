import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { catalogue, type ErrorCode } from '../shared/errors.ts'
import { problems } from './schemas.ts'

const codes = Object.keys(catalogue) as ErrorCode[]

/** Where the `type` of a problem document leads (RFC 9457 §3.1.1). */
export const problemTypeRoutes: FastifyPluginAsyncTypebox = async (app) => {
  app.route({
    method: 'GET',
    url: '/problems/:code',
    schema: {
      operationId: 'describeProblem',
      summary: 'Describe an error code, and what to do about it',
      tags: ['Operations'],
      security: [],
      params: Type.Object({ code: Type.Enum(codes, { type: 'string', examples: ['not_found'] }) }),
      response: {
        200: Type.Object(
          {
            code: Type.String(),
            status: Type.Integer(),
            title: Type.String({ description: 'The meaning of the error.' }),
            advice: Type.String({ description: 'What to do about it.' }),
          },
          { description: 'The code with its status, meaning and remedy' },
        ),
        ...problems(400),
      },
    },
    handler: async ({ params: { code } }) => ({ code, ...catalogue[code] }),
  })
}
