import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyReply } from 'fastify'
import { Type } from 'typebox'
import type { Caller } from '../access/caller.ts'
import type { DirectoryUser } from '../db/tables.ts'
import type { Deps } from '../http/deps.ts'
import { etag, expectedVersions } from '../http/etag.ts'
import { addJsonParser } from '../http/json.ts'
import { sendNotFound } from '../http/problem.ts'
import { IfMatch, noContent, ref } from '../http/schemas.ts'
import { ScimError, scimErrors, scimType, sendScimError } from '../http/scim-error.ts'
import { AppError } from '../shared/errors.ts'
import * as discovery from './discovery.ts'
import * as schema from './schema.ts'
import * as users from './users.ts'

const tags = ['SCIM']
const consumes = [scimType, 'application/json']

type Search = { filter?: string; startIndex?: number; count?: number }

/** The service provider of RFC 7644. Its callers manage the users of their own organization. */
export const scimRoutes: FastifyPluginAsyncTypebox<Deps> = async (app, { db, issuer }) => {
  const url = `${issuer}/scim/v2`
  app.setErrorHandler(sendScimError)
  app.setNotFoundHandler(sendNotFound)
  addJsonParser(app, { type: scimType })
  for (const shape of [ScimError, ...schema.components]) app.addSchema(shape)
  app.addHook('preHandler', async ({ method }, reply) => {
    if (method !== 'DELETE') reply.type(scimType)
  })

  const show = (reply: FastifyReply, user: DirectoryUser, project: schema.Projection) => {
    reply.header('etag', etag(user))
    return project(schema.presentUser(user, url))
  }
  const list = async (caller: Caller, search: Search, project: schema.Projection) => {
    const { filter, startIndex = 1, count = schema.maxResults } = search
    // RFC 7644 §3.4.2.4.
    const page = {
      startIndex: Math.max(startIndex, 1),
      count: Math.min(Math.max(count, 0), schema.maxResults),
    }
    const { total, users: found } = await users.listScimUsers(db, caller, { filter, ...page })
    const resources = found.map((user) => project(schema.presentUser(user, url)))
    return schema.listOf(resources, total, page.startIndex)
  }

  app.route({
    method: 'POST',
    url: '/Users',
    schema: {
      operationId: 'createScimUser',
      summary: 'Create a user of the directory, and the record of an owner for it',
      tags,
      consumes,
      querystring: schema.ScimItemQuery,
      body: ref(schema.ScimUserInput),
      response: {
        201: schema.scimAnswer(schema.ScimUser, 'The user', 'ETag', 'Location'),
        ...scimErrors(400, 401, 403, 409, 413, 415, 500, 503),
      },
    },
    handler: async ({ caller, body, query }, reply) => {
      const project = schema.projectionOf(query)
      const user = await users.createScimUser(db, caller, body)
      reply.code(201).header('location', `${url}/Users/${user.id}`)
      return show(reply, user, project)
    },
  })

  app.route({
    method: 'GET',
    url: '/Users',
    schema: {
      operationId: 'listScimUsers',
      summary: 'List users of the directory, all or those that a filter matches',
      tags,
      querystring: schema.ScimListQuery,
      response: {
        200: schema.scimAnswer(schema.ScimUserList, 'A page of users'),
        ...scimErrors(400, 401, 403, 500, 503),
      },
    },
    handler: async ({ caller, query }) => list(caller, query, schema.projectionOf(query)),
  })

  for (const [path, operationId] of [
    ['/Users/.search', 'searchScimUsers'],
    ['/.search', 'searchScim'],
  ] as const)
    app.route({
      method: 'POST',
      url: path,
      config: { forgets: true },
      schema: {
        operationId,
        summary: 'List users of the directory by a query in the body',
        tags,
        consumes,
        body: ref(schema.ScimSearch),
        response: {
          200: schema.scimAnswer(schema.ScimUserList, 'A page of users'),
          ...scimErrors(400, 401, 403, 413, 415, 500, 503),
        },
      },
      handler: async ({ caller, body }) =>
        list(caller, body, schema.projection(body.attributes, body.excludedAttributes)),
    })

  app.route({
    method: 'GET',
    url: '/Users/:user',
    schema: {
      operationId: 'getScimUser',
      summary: 'Read a user of the directory',
      tags,
      params: schema.ScimUserParams,
      querystring: schema.ScimItemQuery,
      response: {
        200: schema.scimAnswer(schema.ScimUser, 'The user', 'ETag'),
        ...scimErrors(400, 401, 403, 404, 500, 503),
      },
    },
    handler: async ({ caller, params, query }, reply) =>
      show(reply, await users.getScimUser(db, caller, params.user), schema.projectionOf(query)),
  })

  for (const [method, operationId, change, body, summary] of [
    [
      'PUT',
      'replaceScimUser',
      users.replaceScimUser,
      schema.ScimUserInput,
      'Replace a user of the directory',
    ],
    ['PATCH', 'updateScimUser', users.updateScimUser, schema.ScimPatch, 'Change a user of the directory'],
  ] as const)
    app.route({
      method,
      url: '/Users/:user',
      schema: {
        operationId,
        summary: `${summary}; \`active\` suspends and resumes all tokens of the owner`,
        tags,
        consumes,
        params: schema.ScimUserParams,
        querystring: schema.ScimItemQuery,
        headers: IfMatch,
        body: ref(body),
        response: {
          200: schema.scimAnswer(schema.ScimUser, 'The user', 'ETag'),
          ...scimErrors(400, 401, 403, 404, 409, 412, 413, 415, 500, 503),
        },
      },
      handler: async (request, reply) => {
        const { caller, params, query } = request
        const project = schema.projectionOf(query)
        const where = { id: params.user, expected: expectedVersions(request) }
        return show(reply, await change(db, caller, where, request.body), project)
      },
    })

  app.route({
    method: 'DELETE',
    url: '/Users/:user',
    schema: {
      operationId: 'deleteScimUser',
      summary: 'Delete a user of the directory: all tokens of the owner are suspended',
      tags,
      params: schema.ScimUserParams,
      headers: IfMatch,
      response: { ...noContent, ...scimErrors(400, 401, 403, 404, 412, 413, 415, 500, 503) },
    },
    handler: async (request, reply) => {
      const { caller, params } = request
      await users.deleteScimUser(db, caller, { id: params.user, expected: expectedVersions(request) })
      return reply.code(204).send(undefined)
    },
  })

  const constant = (path: string, operationId: string, summary: string, document: { schemas: string[] }) =>
    app.route({
      method: 'GET',
      url: path,
      schema: {
        operationId,
        summary,
        tags,
        response: {
          200: schema.scimAnswer(
            'Resources' in document ? schema.ScimList : schema.ScimDocument,
            'The description',
          ),
          ...scimErrors(400, 401, 403, 500, 503),
        },
      },
      handler: async ({ caller }) => {
        users.requireProvisioning(caller)
        return document
      },
    })

  const { listOf, maxResults } = schema
  const config = discovery.serviceProviderConfig(url, maxResults)
  constant('/ServiceProviderConfig', 'getScimServiceProviderConfig', 'Read what is supported', config)
  constant(
    '/ResourceTypes',
    'listScimResourceTypes',
    'List the types of resources',
    listOf(discovery.resourceTypes(url)),
  )
  constant('/Schemas', 'listScimSchemas', 'List the schemas of the resources', listOf(discovery.schemas(url)))
  // Okta asks for groups when it imports users.
  constant('/Groups', 'listScimGroups', 'List the groups: there are none', listOf([]))

  for (const [path, name, operationId, summary, documents] of [
    [
      '/ResourceTypes',
      'resourceType',
      'getScimResourceType',
      'Read a type of resource',
      discovery.resourceTypes(url),
    ],
    ['/Schemas', 'schema', 'getScimSchema', 'Read a schema of a resource', discovery.schemas(url)],
  ] as const)
    app.route({
      method: 'GET',
      url: `${path}/:${name}`,
      schema: {
        operationId,
        summary,
        tags,
        params: Type.Record(Type.Literal(name), Type.String({ examples: [documents[0]?.id] })),
        response: {
          200: schema.scimAnswer(schema.ScimDocument, 'The description'),
          ...scimErrors(400, 401, 403, 404, 500, 503),
        },
      },
      handler: async ({ caller, params }) => {
        users.requireProvisioning(caller)
        const document = documents.find(({ id }) => Object.values(params).includes(id))
        return document ?? notDescribed()
      },
    })
}

function notDescribed(): never {
  throw new AppError('not_found', 'There is no description with this id.')
}
