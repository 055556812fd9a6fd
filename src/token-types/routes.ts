import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { Deps } from '../http/deps.ts'
import { expectedVersions, showing } from '../http/etag.ts'
import { answer, IfMatch, noContent, problems, ref } from '../http/schemas.ts'
import { suspensionRoutes } from '../http/suspension.ts'
import type { Signing } from '../keys/signing.ts'
import * as schema from './schema.ts'
import * as types from './token-types.ts'

const show = showing(schema.presentTokenType)

/** The routes of the platform's types, and those of an organization's. */
const places = [
  {
    of: 'TokenType',
    collection: '/token-types',
    tags: ['Token types'],
    inCollection: schema.NoParams,
    inItem: schema.TokenTypeParams,
    about: 'token type',
    all: 'List all token types of the platform',
  },
  {
    of: 'OrganizationTokenType',
    collection: '/organizations/:organization/token-types',
    tags: ['Token types of organizations'],
    inCollection: schema.CollectionParams,
    inItem: schema.OrganizationTypeParams,
    about: 'token type of an organization',
    all: 'List all token types that an organization can use',
  },
] as const

export const tokenTypeRoutes: FastifyPluginAsyncTypebox<Deps & { signing: Signing }> = async (
  app,
  { db, signing },
) => {
  for (const shape of schema.components) app.addSchema(shape)

  for (const { of, collection, tags, inCollection, inItem, about, all } of places) {
    const item = `${collection}/:type`
    // Both have the same members for the handlers, one of which the platform's routes do not have.
    const collectionParams = inCollection as typeof schema.AnyCollectionParams
    const itemParams = inItem as typeof schema.AnyTypeParams

    app.route({
      method: 'POST',
      url: collection,
      schema: {
        operationId: `create${of}`,
        summary: `Create a ${about}`,
        tags,
        params: collectionParams,
        body: ref(schema.NewTokenType),
        response: {
          201: answer(schema.TokenType, 'The token type', 'ETag', 'Location'),
          ...problems(400, 401, 403, 404, 409, 413, 415, 422, 500, 503),
        },
      },
      handler: async (request, reply) => {
        const { caller, params, body } = request
        const input = schema.parseTokenType(body)
        const type = await types.createTokenType(db, caller, params.organization, { input, signing })
        const path = type.organizationKey === null ? '' : `/organizations/${type.organizationKey}`
        reply.code(201).header('location', `${app.basePath}/v1${path}/token-types/${type.name}`)
        return show(reply, type)
      },
    })

    app.route({
      method: 'GET',
      url: collection,
      schema: {
        operationId: `list${of}s`,
        summary: all,
        tags,
        params: collectionParams,
        response: {
          200: answer(schema.TokenTypeList, 'All token types'),
          ...problems(400, 401, 404, 500, 503),
        },
      },
      handler: async ({ caller, params }) => {
        const all = await types.listTokenTypes(db, caller, params.organization)
        return { items: all.map(schema.presentTokenType) }
      },
    })

    app.route({
      method: 'GET',
      url: item,
      schema: {
        operationId: `get${of}`,
        summary: `Read a ${about}`,
        tags,
        params: itemParams,
        response: {
          200: answer(schema.TokenType, 'The token type', 'ETag'),
          ...problems(400, 401, 404, 500, 503),
        },
      },
      handler: async ({ caller, params }, reply) => {
        return show(reply, await types.getTokenType(db, caller, named(params)))
      },
    })

    app.route({
      method: 'PATCH',
      url: item,
      schema: {
        operationId: `update${of}`,
        summary: `Change a ${about}; existing tokens are not changed`,
        tags,
        params: itemParams,
        headers: IfMatch,
        body: ref(schema.TokenTypeChange),
        response: {
          200: answer(schema.TokenType, 'The token type', 'ETag'),
          ...problems(400, 401, 403, 404, 409, 412, 413, 415, 422, 500, 503),
        },
      },
      handler: async (request, reply) => {
        const { caller, params, body } = request
        const expected = expectedVersions(request)
        const change = schema.parseTokenTypeChange(body)
        return show(reply, await types.updateTokenType(db, caller, named(params), { expected, change }))
      },
    })

    suspensionRoutes(app, {
      item,
      noun: of,
      summaries: {
        suspend: `Suspend a ${about}: none of its tokens is good until it is resumed`,
        resume: `Resume a suspended ${about}`,
      },
      tags: [...tags],
      params: itemParams,
      answers: { shape: schema.TokenType, description: 'The token type' },
      statuses: [400, 401, 403, 404, 409, 413, 415, 500, 503],
      set: async (caller, params, suspended, reply) =>
        show(reply, await types.setTokenTypeSuspended(db, caller, named(params), suspended)),
    })

    app.route({
      method: 'DELETE',
      url: item,
      schema: {
        operationId: `delete${of}`,
        summary: `Delete a ${about} that has no tokens`,
        tags,
        params: itemParams,
        headers: IfMatch,
        response: { ...noContent, ...problems(400, 401, 403, 404, 409, 412, 413, 415, 500, 503) },
      },
      handler: async (request, reply) => {
        const { caller, params } = request
        await types.deleteTokenType(db, caller, named(params), expectedVersions(request))
        return reply.code(204).send(undefined)
      },
    })
  }
}

function named({ organization, type }: { organization?: string; type: string }) {
  return { organization, name: type }
}
