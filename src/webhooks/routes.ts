import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyReply } from 'fastify'
import type { Deps } from '../http/deps.ts'
import { etag, expectedVersions, showing } from '../http/etag.ts'
import { page, positionIn } from '../http/pages.ts'
import { answer, IfMatch, noContent, OrganizationParams, problems, ref } from '../http/schemas.ts'
import type { Signing } from '../keys/signing.ts'
import * as deliveries from './deliveries.ts'
import * as schema from './schema.ts'
import * as webhooks from './webhooks.ts'

const collection = '/organizations/:organization/webhooks'
const item = `${collection}/:webhook`
const tags = ['Webhooks']
const show = showing(schema.presentWebhook)

export const webhookRoutes: FastifyPluginAsyncTypebox<Deps & { signing: Signing }> = async (
  app,
  { db, outbound, signing, cursorKey },
) => {
  for (const shape of schema.components) app.addSchema(shape)

  app.route({
    method: 'POST',
    url: collection,
    schema: {
      operationId: 'createWebhook',
      summary: 'Register an endpoint that receives events',
      description:
        "Messages follow Standard Webhooks 1.0. The webhooks of the organization `platform` get every organization's events.",
      tags,
      params: OrganizationParams,
      body: ref(schema.WebhookCreation),
      response: {
        201: answer(schema.WebhookWithSecret, 'The webhook and its secret', 'ETag', 'Location'),
        ...problems(400, 401, 403, 404, 409, 413, 415, 422, 500, 503),
      },
    },
    handler: async ({ caller, params: { organization }, body }, reply) => {
      const input = schema.parseCreation(body)
      const created = await webhooks.createWebhook(db, caller, organization, { input, outbound, signing })
      reply
        .code(201)
        .header('location', `${app.basePath}/v1/organizations/${organization}/webhooks/${created.webhook.id}`)
      return showSecret(reply, created)
    },
  })

  app.route({
    method: 'GET',
    url: collection,
    schema: {
      operationId: 'listWebhooks',
      summary: 'List the webhooks of an organization',
      tags,
      params: OrganizationParams,
      response: {
        200: answer(schema.WebhookList, 'All webhooks'),
        ...problems(400, 401, 403, 404, 500, 503),
      },
    },
    handler: async ({ caller, params }) => {
      const rows = await webhooks.listWebhooks(db, caller, params.organization)
      return { items: rows.map(schema.presentWebhook) }
    },
  })

  app.route({
    method: 'GET',
    url: item,
    schema: {
      operationId: 'getWebhook',
      summary: 'Read a webhook',
      tags,
      params: schema.WebhookParams,
      response: {
        200: answer(schema.Webhook, 'The webhook', 'ETag'),
        ...problems(400, 401, 403, 404, 500, 503),
      },
    },
    handler: async ({ caller, params }, reply) => show(reply, await webhooks.getWebhook(db, caller, params)),
  })

  app.route({
    method: 'PATCH',
    url: item,
    schema: {
      operationId: 'updateWebhook',
      summary: 'Change, pause or enable a webhook',
      tags,
      params: schema.WebhookParams,
      headers: IfMatch,
      body: ref(schema.WebhookChange),
      response: {
        200: answer(schema.Webhook, 'The webhook', 'ETag'),
        ...problems(400, 401, 403, 404, 412, 413, 415, 422, 500, 503),
      },
    },
    handler: async (request, reply) => {
      const { caller, params, body } = request
      const which = { ...params, expected: expectedVersions(request) }
      const change = schema.parseChange(body)
      return show(reply, await webhooks.updateWebhook(db, caller, which, { change, outbound }))
    },
  })

  app.route({
    method: 'DELETE',
    url: item,
    schema: {
      operationId: 'deleteWebhook',
      summary: 'Delete a webhook with its deliveries',
      tags,
      params: schema.WebhookParams,
      headers: IfMatch,
      response: { ...noContent, ...problems(400, 401, 403, 404, 412, 413, 415, 500, 503) },
    },
    handler: async (request, reply) => {
      const { caller, params } = request
      await webhooks.deleteWebhook(db, caller, { ...params, expected: expectedVersions(request) })
      return reply.code(204).send(undefined)
    },
  })

  app.route({
    method: 'POST',
    url: `${item}/rotate-secret`,
    schema: {
      operationId: 'rotateWebhookSecret',
      summary: 'Replace the secret of a webhook; for a while messages are signed by both',
      tags,
      params: schema.WebhookParams,
      headers: IfMatch,
      body: ref(schema.SecretRotation),
      response: {
        200: answer(schema.WebhookWithSecret, 'The webhook and its new secret', 'ETag'),
        ...problems(400, 401, 403, 404, 409, 412, 413, 415, 500, 503),
      },
    },
    handler: async (request, reply) => {
      const { caller, params, body } = request
      const which = { ...params, expected: expectedVersions(request) }
      const overlapSeconds = body.overlap_seconds ?? 86_400
      return showSecret(reply, await webhooks.rotateSecret(db, caller, which, { overlapSeconds, signing }))
    },
  })

  app.route({
    method: 'POST',
    url: `${item}/test`,
    schema: {
      operationId: 'testWebhook',
      summary: 'Send a webhook a test event',
      tags,
      params: schema.WebhookParams,
      response: {
        202: answer(schema.Delivery, 'The delivery, which is attempted shortly'),
        ...problems(400, 401, 403, 404, 409, 413, 415, 500, 503),
      },
    },
    handler: async ({ caller, params }, reply) => {
      reply.code(202)
      return schema.presentDelivery(await deliveries.testWebhook(db, caller, params))
    },
  })

  app.route({
    method: 'GET',
    url: `${item}/deliveries`,
    schema: {
      operationId: 'listWebhookDeliveries',
      summary: 'List the deliveries of a webhook in the last 30 days, newest first',
      tags,
      params: schema.WebhookParams,
      querystring: schema.DeliveryQuery,
      response: {
        200: answer(schema.DeliveryPage, 'A page of deliveries', 'Link'),
        ...problems(400, 401, 403, 404, 500, 503),
      },
    },
    handler: async (request, reply) => {
      const { caller, params, query } = request
      const before = positionIn(schema.DeliveryPosition, request, cursorKey)
      const rows = await deliveries.listDeliveries(db, caller, params, {
        ...(query.status !== undefined && { status: query.status }),
        ...(before && { before: before.position }),
        limit: query.limit,
      })
      const positionOf = ({ position }: (typeof rows)[number]) => ({ position })
      return page(request, reply, { cursorKey, rows, present: schema.presentDelivery, positionOf })
    },
  })

  app.route({
    method: 'POST',
    url: `${item}/deliveries/:delivery/replay`,
    schema: {
      operationId: 'replayWebhookDelivery',
      summary: 'Repeat a delivery, with the same webhook-id',
      tags,
      params: schema.DeliveryParams,
      response: {
        202: answer(schema.Delivery, 'The delivery, which is attempted shortly'),
        ...problems(400, 401, 403, 404, 413, 415, 500, 503),
      },
    },
    handler: async ({ caller, params }, reply) => {
      reply.code(202)
      return schema.presentDelivery(await deliveries.replayDelivery(db, caller, params))
    },
  })

  app.route({
    method: 'POST',
    url: `${item}/replay`,
    schema: {
      operationId: 'replayWebhookDeliveries',
      summary: 'Repeat the deliveries of a period',
      tags,
      params: schema.WebhookParams,
      body: ref(schema.Replay),
      response: {
        202: answer(schema.Replayed, 'The deliveries are attempted shortly'),
        ...problems(400, 401, 403, 404, 413, 415, 422, 500, 503),
      },
    },
    handler: async ({ caller, params, body }, reply) => {
      reply.code(202)
      return deliveries.replayDeliveries(db, caller, params, schema.parseReplay(body))
    },
  })
}

function showSecret(reply: FastifyReply, created: webhooks.WithSecret) {
  reply.header('etag', etag(created.webhook))
  return schema.presentWithSecret(created)
}
