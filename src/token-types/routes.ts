import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyReply } from 'fastify'
import type { TokenType } from '../db/tables.ts'
import type { Deps } from '../http/deps.ts'
import { etag, expectedVersions } from '../http/etag.ts'
import { answer, IfMatch, noContent, problems, ref } from '../http/schemas.ts'
import { suspensionRoutes } from '../http/suspension.ts'
import type { Signing } from '../keys/signing.ts'
import * as schema from './schema.ts'
import * as types from './token-types.ts'

const collection = '/token-types'
const item = `${collection}/:type`
const tags = ['Token types']

export const tokenTypeRoutes: FastifyPluginAsyncTypebox<Deps & { signing: Signing }> = async (
  app,
  { db, signing },
) => {
  for (const shape of schema.components) app.addSchema(shape)

  app.route({
    method: 'POST',
    url: collection,
    schema: {
      operationId: 'createTokenType',
      summary: 'Create a token type',
      tags,
      body: ref(schema.NewTokenType),
      response: {
        201: answer(schema.TokenType, 'The token type', 'ETag', 'Location'),
        ...problems(400, 401, 403, 409, 413, 415, 422, 500, 503),
      },
    },
    handler: async ({ caller, body }, reply) => {
      const type = await types.createTokenType(db, caller, signing, schema.parseTokenType(body))
      reply.code(201).header('location', `${app.basePath}/v1/token-types/${type.name}`)
      return show(reply, type)
    },
  })

  app.route({
    method: 'GET',
    url: collection,
    schema: {
      operationId: 'listTokenTypes',
      summary: 'List all token types',
      tags,
      response: { 200: answer(schema.TokenTypeList, 'All token types'), ...problems(400, 401, 500, 503) },
    },
    handler: async () => ({ items: (await types.listTokenTypes(db)).map(schema.presentTokenType) }),
  })

  app.route({
    method: 'GET',
    url: item,
    schema: {
      operationId: 'getTokenType',
      summary: 'Read a token type',
      tags,
      params: schema.TokenTypeParams,
      response: {
        200: answer(schema.TokenType, 'The token type', 'ETag'),
        ...problems(400, 401, 404, 500, 503),
      },
    },
    handler: async ({ params }, reply) => {
      return show(reply, await types.getTokenType(db, params.type))
    },
  })

  app.route({
    method: 'PATCH',
    url: item,
    schema: {
      operationId: 'updateTokenType',
      summary: 'Change a token type; existing tokens are not changed',
      tags,
      params: schema.TokenTypeParams,
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
      return show(reply, await types.updateTokenType(db, caller, params.type, change, expected))
    },
  })

  suspensionRoutes(app, {
    item,
    noun: 'TokenType',
    summaries: {
      suspend: 'Suspend a token type: none of its tokens is good until it is resumed',
      resume: 'Resume a suspended token type',
    },
    tags,
    params: schema.TokenTypeParams,
    answers: { shape: schema.TokenType, description: 'The token type' },
    statuses: [400, 401, 403, 404, 409, 413, 415, 500, 503],
    set: async (caller, params, suspended, reply) =>
      show(reply, await types.setTokenTypeSuspended(db, caller, params.type, suspended)),
  })

  app.route({
    method: 'DELETE',
    url: item,
    schema: {
      operationId: 'deleteTokenType',
      summary: 'Delete a token type that has no tokens',
      tags,
      params: schema.TokenTypeParams,
      headers: IfMatch,
      response: { ...noContent, ...problems(400, 401, 403, 404, 409, 412, 413, 415, 500, 503) },
    },
    handler: async (request, reply) => {
      const { caller, params } = request
      await types.deleteTokenType(db, caller, params.type, expectedVersions(request))
      return reply.code(204).send(undefined)
    },
  })
}

function show(reply: FastifyReply, type: TokenType) {
  reply.header('etag', etag(type))
  return schema.presentTokenType(type)
}
