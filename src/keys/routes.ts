import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { Deps } from '../http/deps.ts'
import { answer, problems, ref } from '../http/schemas.ts'
import * as keys from './keys.ts'
import * as schema from './schema.ts'
import type { Signing } from './signing.ts'

const collection = '/signing-keys'
const tags = ['Signing keys']

export const signingKeyRoutes: FastifyPluginAsyncTypebox<Deps & { signing: Signing }> = async (
  app,
  { db, signing },
) => {
  for (const shape of schema.components) app.addSchema(shape)

  app.route({
    method: 'GET',
    url: collection,
    schema: {
      operationId: 'listSigningKeys',
      summary: 'List the keys that sign JWTs, in the order in which they sign',
      tags,
      response: {
        200: answer(schema.SigningKeyList, 'All signing keys'),
        ...problems(400, 401, 403, 500, 503),
      },
    },
    handler: async ({ caller }) => {
      const items = await keys.listSigningKeys(db, caller)
      return { items: items.map((key) => schema.presentKey(key, caller.now)) }
    },
  })

  app.route({
    method: 'POST',
    url: `${collection}/rotate`,
    schema: {
      operationId: 'rotateSigningKey',
      summary: 'Publish a new key, which starts to sign once verifiers have had time to fetch it',
      tags,
      body: ref(schema.Rotation),
      response: {
        201: answer(schema.SigningKey, 'The key that signs next, or from now on'),
        ...problems(400, 401, 403, 409, 413, 415, 500, 503),
      },
    },
    handler: async ({ caller, body }, reply) => {
      const how = { immediately: body?.immediately ?? false }
      const key = await keys.rotateSigningKey(db, caller, signing, how)
      reply.code(201)
      return schema.presentKey(key, caller.now)
    },
  })

  app.route({
    method: 'POST',
    url: `${collection}/:kid/retire`,
    schema: {
      operationId: 'retireSigningKey',
      summary: 'Stop publishing a key that no longer signs: JWTs that it signed stop verifying',
      tags,
      params: schema.KeyParams,
      response: {
        200: answer(schema.RetiredKey, 'The key, retired'),
        ...problems(400, 401, 403, 404, 409, 413, 415, 500, 503),
      },
    },
    handler: async ({ caller, params }) => {
      const { key, tokensAffected } = await keys.retireSigningKey(db, caller, params.kid)
      return { ...schema.presentKey(key, caller.now), tokens_affected: tokensAffected }
    },
  })
}
