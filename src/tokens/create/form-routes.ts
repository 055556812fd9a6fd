import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { Deps } from '../../http/deps.ts'
import { answer, OrganizationParams, OwnerParams, problems, ref } from '../../http/schemas.ts'
import type { Signing } from '../../keys/signing.ts'
import { revokeOwnerTokens } from '../owners.ts'
import { Revocation } from '../schema.ts'
import { getTokenOptions } from './form-options.ts'
import * as schema from './form-schema.ts'

const tags = ['Tokens']

/** The routes for user interfaces that create tokens. */
export const creationRoutes: FastifyPluginAsyncTypebox<Pick<Deps, 'db'> & { signing: Signing }> = async (
  app,
  { db, signing },
) => {
  app.route({
    method: 'GET',
    url: '/organizations/:organization/tokens/options',
    schema: {
      operationId: 'getTokenOptions',
      summary: 'Get the options of a form for a new token',
      tags,
      params: OrganizationParams,
      querystring: schema.OptionsQuery,
      response: {
        200: answer(schema.TokenOptions, 'The options of the form'),
        ...problems(400, 401, 403, 404, 500, 503),
      },
    },
    handler: async ({ caller, params, query }) => {
      const candidate = { subject: query.owner, source: query.owner_identity_source }
      return schema.presentOptions(
        await getTokenOptions(db, caller, params.organization, { candidate, signing }),
        caller.now,
      )
    },
  })

  app.route({
    method: 'POST',
    url: '/organizations/:organization/owners/:subject/revoke-tokens',
    schema: {
      operationId: 'revokeOwnerTokens',
      summary: 'Revoke all tokens of an owner',
      description:
        'Up to 1,000 tokens are revoked together: after an error none is. More are revoked in batches of 1,000: after an error, repeat the request to revoke the rest. `revoked` counts what this request revoked.',
      tags,
      params: OwnerParams,
      body: ref(Revocation),
      response: {
        200: answer(schema.OwnerRevocation, 'The number of revoked tokens'),
        ...problems(400, 401, 403, 404, 413, 415, 500, 503),
      },
    },
    handler: async ({ caller, params, body }) => {
      const reason = body?.reason ?? null
      return { revoked: await revokeOwnerTokens(db, caller, params, reason) }
    },
  })
}
