import { Readable } from 'node:stream'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import { requirePermission } from '../access/caller.ts'
import { authenticate } from '../authentication/authenticate.ts'
import type { Deps } from '../http/deps.ts'
import { answer, problems } from '../http/schemas.ts'
import { AppError } from '../shared/errors.ts'
import { parseCursor } from '../shared/feed-cursor.ts'
import { listRevocations, sees } from './revocations.ts'
import * as schema from './schema.ts'
import { openStream } from './stream.ts'
import type { Tail } from './tail.ts'

const collection = '/revocations'
const tags = ['Verifying']
const eventStream = 'text/event-stream'

export const revocationRoutes: FastifyPluginAsyncTypebox<Deps> = async (app, { db, credentials }) => {
  for (const shape of schema.components) app.addSchema(shape)

  app.route({
    method: 'GET',
    url: collection,
    schema: {
      operationId: 'listRevocations',
      summary: 'Read the revocation feed, oldest event first',
      description:
        'In commit order and without gaps: events after a cursor were committed after the cursor was ' +
        'issued. 410 means that the cursor is too old, or that a failover or a restore undid the event before it: ' +
        'drop every cached answer, and start again.',
      tags,
      querystring: schema.RevocationQuery,
      response: {
        200: answer(schema.RevocationEventPage, 'The events since the cursor'),
        ...problems(400, 401, 403, 410, 500, 503),
      },
    },
    handler: async ({ caller, query: { since, limit, hash_prefix } }) => {
      const after = since === undefined ? undefined : parseCursor(since)
      return schema.presentPage(
        await listRevocations(db, caller, { after, limit, doubt: credentials.doubtNow }),
        hash_prefix,
      )
    },
  })
}

export const revocationStreamRoutes: FastifyPluginAsyncTypebox<Deps & { tail: Tail }> = async (app, deps) => {
  const admit = authenticate(deps)
  app.addHook('preClose', () => deps.tail.close())

  app.route({
    method: 'GET',
    url: `${collection}/stream`,
    schema: {
      operationId: 'followRevocations',
      summary: 'Follow the tokens that stop being good as a stream',
      description:
        'Server-sent events. The data of `revocation` is a `RevocationEvent`. `beat` comes about once a second: ' +
        'everything committed up to `age_ms` milliseconds after the request arrived has been sent. Without beats, ' +
        'events may have been missed. `reset`: events since `Last-Event-ID` are no longer available, so drop every ' +
        'cached answer. The stream ends after 15 minutes, or when the service may miss events; reconnect with ' +
        '`Last-Event-ID`.',
      tags,
      querystring: schema.StreamQuery,
      headers: schema.StreamHeaders,
      response: {
        200: {
          description: 'The events, until either side ends the stream',
          content: { [eventStream]: { schema: Type.Unsafe<Readable>({ type: 'string' }) } },
        },
        ...problems(400, 401, 403, 500, 503),
      },
    },
    handler: async (request, reply) => {
      const { caller, headers, query, method } = request
      requirePermission(caller, 'tokens:introspect')
      reply.type(eventStream)
      if (method === 'HEAD') return reply.send(Readable.from([]))
      const lastEventId = headers['last-event-id']
      const stream = await openStream(deps.tail, {
        after: lastEventId === undefined ? undefined : parseCursor(lastEventId),
        sees: (event) => sees(request.caller, event),
        present: (event) => schema.presentRevocation(event, query.hash_prefix),
        readmit: () => readmit(request, reply),
      })
      // The client may be gone already, and then no event would end the stream.
      if (reply.raw.destroyed) {
        stream.destroy()
        throw new AppError('unavailable', 'The client has disconnected.')
      }
      // Tells nginx and other proxies not to buffer the stream.
      return reply.header('x-accel-buffering', 'no').send(stream)
    },
  })

  /** Whether the request's credential would still be accepted now. */
  async function readmit(request: FastifyRequest, reply: FastifyReply): Promise<boolean> {
    const { promise, resolve } = Promise.withResolvers<Error | undefined>()
    admit(request, reply, resolve)
    if (await promise) return false
    requirePermission(request.caller, 'tokens:introspect')
    return true
  }
}
