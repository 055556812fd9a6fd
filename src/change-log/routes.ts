import { Readable } from 'node:stream'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { presentEvent } from '../audit/logged-event.ts'
import type { AuditEvent } from '../db/tables.ts'
import type { Deps } from '../http/deps.ts'
import { page, positionIn } from '../http/pages.ts'
import { answer, OrganizationParams, problems } from '../http/schemas.ts'
import { listAuditEvents, positionOf } from './change-log.ts'
import { exportAuditEvents } from './export.ts'
import * as schema from './schema.ts'

const collection = '/organizations/:organization/audit-events'
const tags = ['Change log']
const jsonLines = 'application/jsonl'
const Lines = Type.Unsafe<string | Readable>({ type: 'string', description: 'An `AuditEvent` a line.' })

export const auditRoutes: FastifyPluginAsyncTypebox<Deps> = async (app, { db, cursorKey }) => {
  for (const shape of schema.components) app.addSchema(shape)

  app.route({
    method: 'GET',
    url: collection,
    schema: {
      operationId: 'listAuditEvents',
      summary: 'Read the change log, newest first',
      tags,
      params: OrganizationParams,
      querystring: schema.AuditQuery,
      response: {
        200: answer(schema.AuditEventPage, 'A page of the change log', 'Link'),
        ...problems(400, 401, 403, 404, 500, 503),
      },
    },
    handler: async (request, reply) => {
      const { query, caller, params } = request
      const before = positionIn(schema.EventPosition, request, cursorKey)
      const rows = await listAuditEvents(db, caller, params.organization, {
        ...schema.parseAuditFilter(query),
        ...(before && { before }),
        limit: query.limit,
      })
      return page(request, reply, { cursorKey, rows, present: presentEvent, positionOf })
    },
  })

  app.route({
    method: 'GET',
    url: `${collection}/export`,
    schema: {
      operationId: 'exportAuditEvents',
      summary: 'Download the change log as JSON Lines, newest first',
      description:
        'One event per line, for the whole log. A response that breaks off is incomplete; HTTP clients recognize ' +
        'that by the missing end of the message.',
      tags,
      params: OrganizationParams,
      querystring: schema.AuditFilter,
      response: {
        200: {
          description: 'The events, one per line',
          content: { [jsonLines]: { schema: Lines } },
        },
        ...problems(400, 401, 403, 404, 500, 503),
      },
    },
    handler: async ({ caller, params, query, method }, reply) => {
      const filter = schema.parseAuditFilter(query)
      const batches = await exportAuditEvents(db, caller, params.organization, filter)
      // For HEAD, Fastify would read the whole log and discard it. An error in the middle destroys the connection.
      const lines = method === 'HEAD' ? [] : linesOf(batches)
      return reply.type(jsonLines).send(Readable.from(lines, { objectMode: false }))
    },
  })
}

async function* linesOf(batches: AsyncIterable<AuditEvent[]>): AsyncIterable<string> {
  for await (const batch of batches) {
    yield batch.map((event) => `${JSON.stringify(presentEvent(event))}\n`).join('')
  }
}
