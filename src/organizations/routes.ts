import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { Deps } from '../http/deps.ts'
import { expectedVersions, showing } from '../http/etag.ts'
import { page, positionIn } from '../http/pages.ts'
import { answer, IfMatch, noContent, OrganizationParams, problems, ref } from '../http/schemas.ts'
import { suspensionRoutes } from '../http/suspension.ts'
import * as organizations from './organizations.ts'
import * as schema from './schema.ts'

const collection = '/organizations'
const item = `${collection}/:organization`
const tags = ['Organizations']
const show = showing(schema.presentOrganization)

export const organizationRoutes: FastifyPluginAsyncTypebox<Deps> = async (app, { db, cursorKey }) => {
  for (const shape of schema.components) app.addSchema(shape)

  app.route({
    method: 'POST',
    url: collection,
    schema: {
      operationId: 'createOrganization',
      summary: 'Create an organization',
      tags,
      body: ref(schema.NewOrganization),
      response: {
        201: answer(schema.Organization, 'The organization', 'ETag', 'Location'),
        ...problems(400, 401, 403, 409, 413, 415, 500, 503),
      },
    },
    handler: async ({ caller, body }, reply) => {
      const organization = await organizations.createOrganization(db, caller, schema.withPlainName(body))
      reply.code(201).header('location', `${app.basePath}/v1/organizations/${organization.key}`)
      return show(reply, organization)
    },
  })

  app.route({
    method: 'GET',
    url: collection,
    schema: {
      operationId: 'listOrganizations',
      summary: 'List organizations by key, page by page',
      tags,
      querystring: schema.OrganizationQuery,
      response: {
        200: answer(schema.OrganizationPage, 'A page of organizations', 'Link'),
        ...problems(400, 401, 403, 500, 503),
      },
    },
    handler: async (request, reply) => {
      const { limit } = request.query
      const after = positionIn(schema.OrganizationPosition, request, cursorKey)
      const rows = await organizations.listOrganizations(db, request.caller, {
        limit,
        ...(after !== undefined && { after }),
      })
      return page(request, reply, {
        cursorKey,
        rows,
        present: schema.presentOrganization,
        positionOf: ({ key }) => key,
      })
    },
  })

  app.route({
    method: 'GET',
    url: item,
    schema: {
      operationId: 'getOrganization',
      summary: 'Read an organization',
      tags,
      params: OrganizationParams,
      response: {
        200: answer(schema.Organization, 'The organization', 'ETag'),
        ...problems(400, 401, 404, 500, 503),
      },
    },
    handler: async ({ caller, params }, reply) => {
      return show(reply, await organizations.getOrganization(db, caller, params.organization))
    },
  })

  app.route({
    method: 'PATCH',
    url: item,
    schema: {
      operationId: 'updateOrganization',
      summary: 'Rename an organization',
      tags,
      params: OrganizationParams,
      headers: IfMatch,
      body: ref(schema.OrganizationChange),
      response: {
        200: answer(schema.Organization, 'The organization', 'ETag'),
        ...problems(400, 401, 403, 404, 409, 412, 413, 415, 500, 503),
      },
    },
    handler: async (request, reply) => {
      const { caller, params, body } = request
      const expected = expectedVersions(request)
      return show(
        reply,
        await organizations.updateOrganization(db, caller, params.organization, {
          expected,
          change: schema.withPlainName(body),
        }),
      )
    },
  })

  suspensionRoutes(app, {
    item,
    noun: 'Organization',
    summaries: {
      suspend: 'Suspend an organization: none of its tokens is good until it is resumed',
      resume: 'Resume a suspended organization',
    },
    tags,
    params: OrganizationParams,
    answers: { shape: schema.Organization, description: 'The organization' },
    statuses: [400, 401, 403, 404, 409, 413, 415, 500, 503],
    set: async (caller, params, suspended, reply) =>
      show(reply, await organizations.setOrganizationSuspended(db, caller, params.organization, suspended)),
  })

  app.route({
    method: 'DELETE',
    url: item,
    schema: {
      operationId: 'deleteOrganization',
      summary: 'Delete a suspended organization with all its tokens; its change log remains',
      description:
        'Tokens are deleted in batches of 1,000. After an error the organization still exists, suspended and with fewer tokens: repeat the request to delete the rest.',
      tags,
      params: OrganizationParams,
      headers: IfMatch,
      response: { ...noContent, ...problems(400, 401, 403, 404, 409, 412, 413, 415, 500, 503) },
    },
    handler: async (request, reply) => {
      const { caller, params } = request
      await organizations.deleteOrganization(db, caller, params.organization, expectedVersions(request))
      return reply.code(204).send(undefined)
    },
  })
}
