import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { Deps } from '../http/deps.ts'
import { expectedVersions, showing } from '../http/etag.ts'
import { page, positionIn } from '../http/pages.ts'
import { answer, IfMatch, OrganizationParams, OwnerParams, problems, ref, Subject } from '../http/schemas.ts'
import { suspensionRoutes } from '../http/suspension.ts'
import * as owners from './owners.ts'
import * as schema from './schema.ts'

const collection = '/organizations/:organization/owners'
const item = `${collection}/:subject`
const tags = ['Owners']
const show = showing(schema.presentOwner)

export const ownerRoutes: FastifyPluginAsyncTypebox<Deps> = async (app, { db, cursorKey }) => {
  for (const shape of schema.components) app.addSchema(shape)

  app.route({
    method: 'GET',
    url: collection,
    schema: {
      operationId: 'listOwners',
      summary: 'List owners by subject, page by page',
      tags,
      params: OrganizationParams,
      querystring: schema.OwnerQuery,
      response: {
        200: answer(schema.OwnerPage, 'A page of owners', 'Link'),
        ...problems(400, 401, 403, 404, 500, 503),
      },
    },
    handler: async (request, reply) => {
      const { caller, params, query } = request
      const { suspended, search, limit } = query
      const after = positionIn(Subject, request, cursorKey)
      const asked = { suspended, search: search?.normalize('NFC'), after, limit }
      const found = await owners.listOwners(db, caller, params.organization, asked)
      return page(request, reply, {
        cursorKey,
        ...found,
        present: schema.presentOwner,
        positionOf: ({ subject }) => subject,
      })
    },
  })

  app.route({
    method: 'GET',
    url: item,
    schema: {
      operationId: 'getOwner',
      summary: 'Read the record of an owner',
      tags,
      params: OwnerParams,
      response: {
        200: answer(schema.OwnerRecord, 'The owner', 'ETag'),
        ...problems(400, 401, 403, 404, 500, 503),
      },
    },
    handler: async ({ caller, params }, reply) => {
      return show(reply, await owners.getOwner(db, caller, params.organization, params.subject))
    },
  })

  app.route({
    method: 'PATCH',
    url: item,
    schema: {
      operationId: 'updateOwner',
      summary: 'Change the record of an owner; their tokens do not change',
      tags,
      params: OwnerParams,
      headers: IfMatch,
      body: ref(schema.OwnerChange),
      response: {
        200: answer(schema.OwnerRecord, 'The owner', 'ETag'),
        ...problems(400, 401, 403, 404, 412, 413, 415, 500, 503),
      },
    },
    handler: async (request, reply) => {
      const { caller, params, body } = request
      const change = schema.parseOwnerChange(body)
      const expected = expectedVersions(request)
      return show(reply, await owners.updateOwner(db, caller, params, { expected, change }))
    },
  })

  suspensionRoutes(app, {
    item,
    noun: 'Owner',
    summaries: {
      suspend: 'Suspend an owner: all of their tokens are inactive until resumed',
      resume: 'Resume a suspended owner',
    },
    tags,
    params: OwnerParams,
    answers: { shape: schema.OwnerRecord, description: 'The owner' },
    statuses: [400, 401, 403, 404, 413, 415, 500, 503],
    set: async (caller, params, suspended, reply) =>
      show(reply, await owners.setOwnerSuspended(db, caller, params, suspended)),
  })
}
