import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { Deps } from '../../http/deps.ts'
import { Page, page, positionIn } from '../../http/pages.ts'
import { answer, problems } from '../../http/schemas.ts'
import { presentToken, Token } from '../schema.ts'
import { countAttention, listAttention } from './attention.ts'
import * as schema from './schema.ts'

const tags = ['Tokens']
const config = { organizationInQuery: true }
const TokenList = Page(Token, 'AttentionPage')

/** Register it where the shapes of tokens are registered. */
export const attentionRoutes: FastifyPluginAsyncTypebox<Pick<Deps, 'db' | 'cursorKey'>> = async (
  app,
  { db, cursorKey },
) => {
  for (const shape of [schema.AttentionCounts, TokenList]) app.addSchema(shape)

  app.route({
    method: 'GET',
    url: '/attention',
    config,
    schema: {
      operationId: 'listAttention',
      summary: 'List tokens that need attention, in all organizations',
      description:
        'Sorted by expiry, by last use or, if due for rotation, by organization and age of the secret. A page examines at most 2,000 tokens, and can thus have few items or none although ' +
        'there are more: go on while `next_cursor` is not null.',
      tags,
      querystring: schema.AttentionQuery,
      response: {
        200: answer(TokenList, 'A page of tokens', 'Link'),
        ...problems(400, 401, 403, 404, 500, 503),
      },
    },
    handler: async (request, reply) => {
      const { caller, query } = request
      const { organization, reason, days, limit } = query
      const after = positionIn(schema.AttentionPosition, request, cursorKey)
      const found = await listAttention(db, caller, { organization, reason, days }, { after, limit })
      return page(request, reply, {
        cursorKey,
        ...found,
        present: ({ token }) => presentToken(token, caller.now),
        positionOf: ({ position }) => position,
      })
    },
  })

  app.route({
    method: 'GET',
    url: '/attention/counts',
    config,
    schema: {
      operationId: 'countAttention',
      summary: 'Count tokens that need attention, in all organizations',
      tags,
      querystring: schema.AttentionCountQuery,
      response: {
        200: answer(schema.AttentionCounts, 'The counts'),
        ...problems(400, 401, 403, 404, 500, 503),
      },
    },
    handler: async ({ caller, query }) =>
      countAttention(db, caller, {
        organization: query.organization,
        expiringDays: query.expiring_days,
        unusedDays: query.unused_days,
      }),
  })
}
