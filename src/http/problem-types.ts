import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { catalogue, type ErrorCode } from '../errors.ts'
import { problems } from './schemas.ts'

const codes = Object.keys(catalogue) as ErrorCode[]

/** What the `type` of a problem document leads to (RFC 9457 §3.1.1). */
export const problemTypeRoutes: FastifyPluginAsyncTypebox = async (app) => {
  app.route({
    method: 'GET',
    url: '/problems/:code',
    schema: {
      operationId: 'describeProblem',
      summary: 'What a kind of problem means',
      tags: ['Operations'],
      security: [],
      params: Type.Object({ code: Type.Enum(codes, { type: 'string', examples: ['not_found'] }) }),
      response: {
        200: Type.Object(
          { code: Type.String(), status: Type.Integer(), title: Type.String() },
          { description: 'Its code, the status it comes with, and what it means' },
        ),
        ...problems(400),
      },
    },
    handler: async ({ params: { code } }) => ({ code, ...catalogue[code] }),
  })
}
