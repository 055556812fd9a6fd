import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { Deps } from '../http/deps.ts'
import { answer, noContent, problems, ref } from '../http/schemas.ts'
import type { StaticSecret } from '../tokens/static-secret/static-secret.ts'
import * as keys from './client-keys.ts'
import * as schema from './schema.ts'

const url = '/organizations/:organization/tokens/:token/client-keys'
const tags = ['Client keys']

export const clientKeyRoutes: FastifyPluginAsyncTypebox<
  Deps & { staticSecret: StaticSecret | undefined }
> = async (app, deps) => {
  const { db, outbound, staticSecret } = deps
  for (const shape of schema.components) app.addSchema(shape)

  app.route({
    method: 'GET',
    url,
    schema: {
      operationId: 'getClientKeys',
      summary: 'Read the keys that a management token authenticates with',
      tags,
      params: schema.TokenParams,
      response: { 200: answer(schema.ClientKeys, 'Its keys'), ...problems(400, 401, 403, 404, 500, 503) },
    },
    handler: async ({ caller, params }) => {
      return schema.presentClientKeys(await keys.getClientKeys(db, caller, params, staticSecret))
    },
  })

  app.route({
    method: 'PUT',
    url,
    schema: {
      operationId: 'replaceClientKeys',
      summary: 'Replace the keys that a management token can authenticate with (private_key_jwt)',
      tags,
      params: schema.TokenParams,
      body: ref(schema.NewClientKeys),
      response: {
        200: answer(schema.ClientKeys, 'Its keys'),
        ...problems(400, 401, 403, 404, 409, 413, 415, 422, 500, 503),
      },
    },
    handler: async ({ caller, params, body }) => {
      const given = schema.parseClientKeys(body)
      const replaced = await keys.replaceClientKeys(db, caller, params, { given, outbound })
      return schema.presentClientKeys(replaced)
    },
  })

  app.route({
    method: 'DELETE',
    url,
    schema: {
      operationId: 'deleteClientKeys',
      summary: 'Remove all keys of a management token',
      tags,
      params: schema.TokenParams,
      response: { ...noContent, ...problems(400, 401, 403, 404, 409, 413, 415, 500, 503) },
    },
    handler: async ({ caller, params }, reply) => {
      await keys.deleteClientKeys(db, caller, params)
      return reply.code(204).send(undefined)
    },
  })
}
