import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import type { Deps } from '../deps.ts'
import { parseInstant } from '../http/instant.ts'
import { page, parseCursor } from '../http/pages.ts'
import { answer, OrganizationParams, problems } from '../http/schemas.ts'
import { listAuditEvents } from './audit.ts'
import * as schema from './schema.ts'

export const auditRoutes: FastifyPluginAsyncTypebox<Deps> = async (app, { db }) => {
  for (const shape of schema.components) app.addSchema(shape)

  app.route({
    method: 'GET',
    url: '/organizations/:organization/audit-events',
    schema: {
      operationId: 'listAuditEvents',
      summary: 'Read the change log, newest first',
      tags: ['Change log'],
      params: OrganizationParams,
      querystring: schema.AuditQuery,
      response: {
        200: answer(schema.AuditEventPage, 'A page of the change log', 'Link'),
        ...problems(400, 401, 403, 404, 500, 503),
      },
    },
    handler: async (request, reply) => {
      const { cursor, from, to, ...filter } = request.query
      const before = parseCursor(Type.String({ format: 'uuid' }), cursor)
      const rows = await listAuditEvents(db, request.caller, request.params.organization, {
        ...filter,
        ...(from !== undefined && { from: parseInstant('query', 'from', from) }),
        ...(to !== undefined && { to: parseInstant('query', 'to', to) }),
        ...(before !== undefined && { before }),
      })
      return page(request, reply, rows, schema.presentEvent, ({ id }) => id)
    },
  })
}
