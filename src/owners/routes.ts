import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyReply } from 'fastify'
import type { Deps } from '../http/deps.ts'
import { etag, expectedVersions } from '../http/etag.ts'
import { answer, IfMatch, OwnerParams, problems, ref } from '../http/schemas.ts'
import { suspensionRoutes } from '../http/suspension.ts'
import * as owners from './owners.ts'
import * as schema from './schema.ts'

const item = '/organizations/:organization/owners/:subject'
const tags = ['Owners']

export const ownerRoutes: FastifyPluginAsyncTypebox<Deps> = async (app, { db }) => {
  for (const shape of schema.components) app.addSchema(shape)

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
      summary: 'Change the record of an owner; their tokens stay as they are',
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
      return show(reply, await owners.updateOwner(db, caller, { ...params, expected }, change))
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

function show(reply: FastifyReply, owner: owners.OwnerOf) {
  reply.header('etag', etag(owner))
  return schema.presentOwner(owner)
}
