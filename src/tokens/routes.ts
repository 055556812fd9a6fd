import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyReply } from 'fastify'
import { Type } from 'typebox'
import type { Deps } from '../deps.ts'
import { etag, expectedVersions } from '../http/etag.ts'
import { page, parseCursor } from '../http/pages.ts'
import { IfMatch, noContent, OrganizationParams, problems, ref } from '../http/schemas.ts'
import { standingOf } from './creation.ts'
import { creationRoutes } from './creation-routes.ts'
import * as creationSchema from './creation-schema.ts'
import * as schema from './schema.ts'
import type { Sort, Token } from './store.ts'
import * as tokens from './tokens.ts'

const Position = Type.Object({ value: Type.String(), id: Type.String({ format: 'uuid' }) })
const collection = '/organizations/:organization/tokens'
const item = `${collection}/:token`
const tags = ['Tokens']

export const tokenRoutes: FastifyPluginAsyncTypebox<Deps> = async (app, { db, issuer, signing }) => {
  for (const shape of [...schema.components, ...creationSchema.components]) app.addSchema(shape)
  await app.register(creationRoutes, { db })

  app.route({
    method: 'POST',
    url: collection,
    schema: {
      operationId: 'createToken',
      summary: 'Create a token; its secret is shown this once',
      tags,
      params: OrganizationParams,
      body: ref(schema.NewToken),
      response: {
        201: ref(schema.IssuedToken),
        ...problems(400, 401, 403, 404, 409, 413, 415, 422, 500, 503),
      },
    },
    handler: async ({ caller, params, body }, reply) => {
      const input = schema.parseNewToken(body, caller.now)
      const issued = await tokens.createToken(db, caller, params.organization, input, { issuer, signing })
      const { token } = issued
      reply.code(201).header('etag', etag(token))
      reply.header('location', `/v1/organizations/${token.organizationKey}/tokens/${token.id}`)
      return schema.presentIssued(issued, caller.now)
    },
  })

  app.route({
    method: 'GET',
    url: collection,
    schema: {
      operationId: 'listTokens',
      summary: 'List tokens, page by page',
      tags,
      params: OrganizationParams,
      querystring: schema.TokenQuery,
      response: { 200: ref(schema.TokenPage), ...problems(400, 401, 403, 404, 500, 503) },
    },
    handler: async (request, reply) => {
      const { caller, params, query } = request
      const { cursor, sort, owner_identity_source: source, ...filter } = query
      const order = { sort: sort.replace('-', '') as Sort, descending: sort.startsWith('-') }
      const after = parseCursor(Position, cursor)
      const rows = await tokens.listTokens(db, caller, params.organization, {
        ...filter,
        ...order,
        ...(after && { after }),
      })
      const present = (token: Token) => schema.presentToken(token, caller.now)
      const candidate = { subject: query.owner, source }
      const standing = await standingOf(db, caller, params.organization, candidate)
      return {
        ...page(request, reply, rows, present, ({ id, sortValue }) => ({ value: sortValue, id })),
        creation: creationSchema.presentCreation(standing),
      }
    },
  })

  app.route({
    method: 'GET',
    url: item,
    schema: {
      operationId: 'getToken',
      summary: 'Read a token',
      tags,
      params: schema.TokenParams,
      response: { 200: ref(schema.Token), ...problems(400, 401, 403, 404, 500, 503) },
    },
    handler: async ({ caller, params }, reply) => {
      return show(reply, await tokens.getToken(db, caller, params.organization, params.token), caller.now)
    },
  })

  app.route({
    method: 'PATCH',
    url: item,
    schema: {
      operationId: 'updateToken',
      summary: 'Change the name or the comment of a token',
      tags,
      params: schema.TokenParams,
      headers: IfMatch,
      body: ref(schema.TokenChange),
      response: {
        200: ref(schema.Token),
        ...problems(400, 401, 403, 404, 409, 412, 413, 415, 422, 500, 503),
      },
    },
    handler: async (request, reply) => {
      const { caller, params, body } = request
      const expected = expectedVersions(request)
      const token = await tokens.updateToken(db, caller, params.organization, params.token, body, expected)
      return show(reply, token, caller.now)
    },
  })

  app.route({
    method: 'POST',
    url: `${item}/revoke`,
    schema: {
      operationId: 'revokeToken',
      summary: 'Revoke a token for good; it stays listed',
      tags,
      params: schema.TokenParams,
      body: ref(schema.Revocation),
      response: { 200: ref(schema.Token), ...problems(400, 401, 403, 404, 413, 415, 500, 503) },
    },
    handler: async ({ caller, params, body }, reply) => {
      const reason = body?.reason ?? null
      const token = await tokens.revokeToken(db, caller, params.organization, params.token, reason)
      return show(reply, token, caller.now)
    },
  })

  app.route({
    method: 'DELETE',
    url: item,
    schema: {
      operationId: 'deleteToken',
      summary: 'Delete a token for good, whatever its status',
      tags,
      params: schema.TokenParams,
      querystring: schema.DeletionQuery,
      headers: IfMatch,
      response: { ...noContent, ...problems(400, 401, 403, 404, 412, 422, 500, 503) },
    },
    handler: async (request, reply) => {
      const { caller, params } = request
      const how = { expected: expectedVersions(request), confirm: request.query.confirm }
      await tokens.deleteToken(db, caller, params.organization, params.token, how)
      return reply.code(204).send(undefined)
    },
  })

  app.route({
    method: 'GET',
    url: '/self',
    schema: {
      operationId: 'getSelf',
      summary: 'Read the token that this very request presents',
      tags,
      response: { 200: ref(schema.Token), ...problems(401, 404, 500, 503) },
    },
    handler: async ({ caller }, reply) => show(reply, await tokens.getSelf(db, caller), caller.now),
  })

  app.route({
    method: 'POST',
    url: '/self/revoke',
    schema: {
      operationId: 'revokeSelf',
      summary: 'Revoke the token that this very request presents',
      tags,
      body: ref(schema.Revocation),
      response: { 200: ref(schema.Token), ...problems(400, 401, 404, 413, 415, 500, 503) },
    },
    handler: async ({ caller, body }, reply) => {
      return show(reply, await tokens.revokeSelf(db, caller, body?.reason ?? null), caller.now)
    },
  })
}

function show(reply: FastifyReply, token: Token, now: Date) {
  reply.header('etag', etag(token))
  return schema.presentToken(token, now)
}
