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
      summary: 'Describe a kind of problem, and what to do about it',
      tags: ['Operations'],
      security: [],
      params: Type.Object({ code: Type.Enum(codes, { type: 'string', examples: ['not_found'] }) }),
      response: {
        200: Type.Object(
          {
            code: Type.String(),
            status: Type.Integer(),
            title: Type.String({ description: 'What it means.' }),
            advice: Type.String({ description: 'What to do about it.' }),
          },
          { description: 'Its code, the status it comes with, what it means and what to do about it' },
        ),
        ...problems(400),
      },
    },
    handler: async ({ params: { code } }) => ({ code, ...catalogue[code] }),
  })
}
