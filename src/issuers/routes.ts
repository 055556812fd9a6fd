import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { TrustedIssuer } from '../db/tables.ts'
import type { Deps } from '../http/deps.ts'
import { expectedVersions, showing } from '../http/etag.ts'
import { answer, IfMatch, noContent, OrganizationParams, problems, ref } from '../http/schemas.ts'
import type { Signing } from '../keys/signing.ts'
import * as issuers from './issuers.ts'
import * as schema from './schema.ts'

const collection = '/organizations/:organization/issuers'
const item = `${collection}/:issuer`
const tags = ['Sign-in']

export const issuerRoutes: FastifyPluginAsyncTypebox<Deps & { signing: Signing }> = async (
  app,
  { db, outbound, issuer, signing },
) => {
  for (const shape of schema.components) app.addSchema(shape)
  const context = { outbound, issuer, masterKeys: signing.masterKeys }
  const show = showing((row: TrustedIssuer) => schema.presentIssuer(row, issuer))

  app.route({
    method: 'POST',
    url: collection,
    schema: {
      operationId: 'createTrustedIssuer',
      summary: 'Register an OpenID provider, whose users may then sign in',
      tags,
      params: OrganizationParams,
      body: ref(schema.IssuerRegistration),
      response: {
        201: answer(schema.TrustedIssuer, 'The trusted issuer', 'ETag', 'Location'),
        ...problems(400, 401, 403, 404, 409, 413, 415, 422, 500, 503),
      },
    },
    handler: async ({ caller, params: { organization }, body }, reply) => {
      const input = { ...schema.parseRegistration(body), clientSecret: body.client_secret ?? undefined }
      const created = await issuers.createTrustedIssuer(db, caller, organization, { input, context })
      reply
        .code(201)
        .header('location', `${app.basePath}/v1/organizations/${organization}/issuers/${created.id}`)
      return show(reply, created)
    },
  })

  app.route({
    method: 'GET',
    url: collection,
    schema: {
      operationId: 'listTrustedIssuers',
      summary: 'List the issuers that an organization trusts',
      tags,
      params: OrganizationParams,
      response: {
        200: answer(schema.TrustedIssuerList, 'All trusted issuers'),
        ...problems(400, 401, 403, 404, 500, 503),
      },
    },
    handler: async ({ caller, params }) => {
      const rows = await issuers.listTrustedIssuers(db, caller, params.organization)
      return { items: rows.map((row) => schema.presentIssuer(row, issuer)) }
    },
  })

  app.route({
    method: 'GET',
    url: item,
    schema: {
      operationId: 'getTrustedIssuer',
      summary: 'Read a trusted issuer',
      tags,
      params: schema.IssuerParams,
      response: {
        200: answer(schema.TrustedIssuer, 'The trusted issuer', 'ETag'),
        ...problems(400, 401, 403, 404, 500, 503),
      },
    },
    handler: async ({ caller, params }, reply) =>
      show(reply, await issuers.getTrustedIssuer(db, caller, params)),
  })

  app.route({
    method: 'PUT',
    url: item,
    schema: {
      operationId: 'replaceTrustedIssuer',
      summary: 'Replace a trusted issuer; takes effect with the next request',
      tags,
      params: schema.IssuerParams,
      headers: IfMatch,
      body: ref(schema.IssuerRegistration),
      response: {
        200: answer(schema.TrustedIssuer, 'The trusted issuer', 'ETag'),
        ...problems(400, 401, 403, 404, 409, 412, 413, 415, 422, 500, 503),
      },
    },
    handler: async (request, reply) => {
      const { caller, params, body } = request
      const expected = expectedVersions(request)
      const input = { ...schema.parseRegistration(body), clientSecret: body.client_secret ?? undefined }
      return show(reply, await issuers.replaceTrustedIssuer(db, caller, params, { expected, input, context }))
    },
  })

  app.route({
    method: 'DELETE',
    url: item,
    schema: {
      operationId: 'deleteTrustedIssuer',
      summary: 'Delete a trusted issuer: its users can no longer sign in, but their tokens remain',
      tags,
      params: schema.IssuerParams,
      headers: IfMatch,
      response: { ...noContent, ...problems(400, 401, 403, 404, 412, 413, 415, 500, 503) },
    },
    handler: async (request, reply) => {
      const { caller, params } = request
      await issuers.deleteTrustedIssuer(db, caller, params, expectedVersions(request))
      return reply.code(204).send(undefined)
    },
  })
}
