import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyReply } from 'fastify'
import type { SignalStream } from '../db/tables.ts'
import { addTextParser } from '../http/bodies.ts'
import type { Deps } from '../http/deps.ts'
import { etag, expectedVersions } from '../http/etag.ts'
import { sendNotFound } from '../http/problem.ts'
import { answer, empty, IfMatch, noContent, problems, ref } from '../http/schemas.ts'
import { SecurityEventError, securityEventErrors, sendSecurityEventError } from '../http/set-error.ts'
import type { Signing } from '../keys/signing.ts'
import { plainAddress } from '../shared/addresses.ts'
import { type ReceiveContext, receiveSecurityEvent } from './receive.ts'
import * as schema from './schema.ts'
import * as streams from './streams.ts'

const tags = ['Security events']
const url = '/organizations/:organization/issuers/:issuer/signals'
const setType = 'application/secevent+jwt'

/** The settings for the security events of an issuer. */
export const signalRoutes: FastifyPluginAsyncTypebox<Deps & { signing: Signing }> = async (
  app,
  { db, outbound, issuer, signing },
) => {
  for (const shape of schema.components.slice(0, 2)) app.addSchema(shape)
  const context = { outbound, masterKeys: signing.masterKeys }
  const show = (reply: FastifyReply, which: streams.WhichStream, stream: SignalStream) => {
    reply.header('etag', etag(stream))
    const pushUrl = `${issuer}/ssf/events/${encodeURIComponent(which.organization)}/${which.issuer}`
    return schema.presentStream(stream, pushUrl)
  }

  app.route({
    method: 'GET',
    url,
    schema: {
      operationId: 'getSignalStream',
      summary: 'Read how the security events of an issuer are received, and what was received',
      tags,
      params: schema.SignalParams,
      response: {
        200: answer(schema.SignalStream, 'The stream', 'ETag'),
        ...problems(400, 401, 403, 404, 500, 503),
      },
    },
    handler: async ({ caller, params }, reply) =>
      show(reply, params, await streams.getSignalStream(db, caller, params)),
  })

  app.route({
    method: 'PUT',
    url,
    schema: {
      operationId: 'replaceSignalStream',
      summary: 'Receive the security events of an issuer, by push or by polling',
      tags,
      params: schema.SignalParams,
      headers: IfMatch,
      body: ref(schema.SignalStreamInput),
      response: {
        200: answer(schema.SignalStream, 'The stream', 'ETag'),
        ...problems(400, 401, 403, 404, 412, 413, 415, 422, 500, 503),
      },
    },
    handler: async (request, reply) => {
      const { caller, params, body } = request
      const input = schema.parseStream(body)
      const change = { input, expected: expectedVersions(request), context }
      return show(reply, params, await streams.replaceSignalStream(db, caller, params, change))
    },
  })

  app.route({
    method: 'DELETE',
    url,
    schema: {
      operationId: 'deleteSignalStream',
      summary: 'Stop receiving security events of an issuer; owners that they suspended stay suspended',
      tags,
      params: schema.SignalParams,
      headers: IfMatch,
      response: { ...noContent, ...problems(400, 401, 403, 404, 412, 413, 415, 500, 503) },
    },
    handler: async (request, reply) => {
      await streams.deleteSignalStream(db, request.caller, request.params, expectedVersions(request))
      return reply.code(204).send(undefined)
    },
  })
}

/** The endpoint of RFC 8935. Events are authenticated by their signatures. */
export const securityEventRoutes: FastifyPluginAsyncTypebox<Deps & ReceiveContext> = async (
  app,
  { db, now, keysOf },
) => {
  app.setErrorHandler(sendSecurityEventError)
  app.setNotFoundHandler(sendNotFound)
  app.removeContentTypeParser('application/json')
  addTextParser(app, [setType], (_request, text, done) => done(null, text === '' ? undefined : text))
  for (const shape of [SecurityEventError, schema.SecurityEventToken]) app.addSchema(shape)

  app.route({
    method: 'POST',
    url: '/events/:organization/:issuer',
    schema: {
      operationId: 'receiveSecurityEvent',
      summary: 'Receive a security event of a trusted issuer (RFC 8935)',
      tags,
      security: [],
      consumes: [setType],
      params: schema.SignalParams,
      body: ref(schema.SecurityEventToken),
      response: {
        202: empty('The event was received.'),
        ...securityEventErrors(400, 404, 413, 415, 429, 500, 503),
      },
    },
    handler: async ({ params, body, id: requestId, ip }, reply) => {
      const delivery = { requestId, ip: plainAddress(ip), now: now() }
      await receiveSecurityEvent(db, params, body, { delivery, context: { keysOf } })
      return reply.code(202).send(undefined)
    },
  })
}
