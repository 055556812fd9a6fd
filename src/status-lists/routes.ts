import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { preferredType } from '../http/accept.ts'
import type { Deps } from '../http/deps.ts'
import { matchesEtag } from '../http/etag.ts'
import { empty, Id, problems } from '../http/schemas.ts'
import type { Signing } from '../keys/signing.ts'
import { createStatusLists, listTtl } from './status-lists.ts'

const type = 'application/statuslist+jwt'

/** Public, like the JWKS: verifiers of JWTs need no credential. */
export const statusListRoutes: FastifyPluginAsyncTypebox<Deps & { signing: Signing }> = async (app, deps) => {
  const getStatusList = createStatusLists(deps.db, deps.signing, deps.issuer)

  app.route({
    method: 'GET',
    url: '/status-lists/:list',
    schema: {
      operationId: 'getStatusList',
      summary: 'Get a signed list of revoked JWTs (Token Status List)',
      tags: ['Verifying'],
      security: [],
      params: Type.Object({ list: Id }),
      headers: Type.Object({
        'if-none-match': Type.Optional(
          Type.String({ description: 'Answer with 304 if this is still its ETag.', examples: ['"abc"'] }),
        ),
      }),
      response: {
        200: {
          description: 'The list; JWTs contain its URL and their index',
          content: { [type]: { schema: { type: 'string' } } },
        },
        304: empty('Not modified'),
        ...problems(400, 404, 406, 500, 503),
      },
    },
    handler: async ({ params, headers }, reply) => {
      preferredType(headers.accept, [type])
      const { jwt, etag } = await getStatusList(params.list, deps.now())
      reply.headers({ etag, 'cache-control': `public, max-age=${listTtl}` })
      if (matchesEtag(headers['if-none-match'], etag)) return reply.code(304).send(undefined)
      return reply.type(type).send(jwt)
    },
  })
}
