import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { Deps } from '../http/deps.ts'
import { expectedVersions, showing } from '../http/etag.ts'
import { addJsonParser } from '../http/json.ts'
import { answer, IfMatch, OrganizationParams, problems, ref } from '../http/schemas.ts'
import { PolicyDocument } from '../shared/policy.ts'
import * as policies from './policy.ts'
import * as schema from './schema.ts'

const url = '/organizations/:organization/policy'
const tags = ['Policy']
const mergePatch = 'application/merge-patch+json'
const show = showing(schema.presentPolicy)
const showChange = showing(schema.presentChange)

export const policyRoutes: FastifyPluginAsyncTypebox<Deps> = async (app, { db }) => {
  for (const shape of schema.components) app.addSchema(shape)

  app.route({
    method: 'GET',
    url,
    schema: {
      operationId: 'getPolicy',
      summary: 'Read the policy of an organization, and where each value comes from',
      tags,
      params: OrganizationParams,
      response: {
        200: answer(schema.PolicyView, 'The policy', 'ETag'),
        ...problems(400, 401, 403, 404, 500, 503),
      },
    },
    handler: async ({ caller, params }, reply) => {
      return show(reply, await policies.getPolicy(db, caller, params.organization))
    },
  })

  app.route({
    method: 'PUT',
    url,
    schema: {
      operationId: 'replacePolicy',
      summary: "Replace the organization's own policy; existing tokens are not changed",
      tags,
      params: OrganizationParams,
      querystring: schema.PolicyChangeQuery,
      headers: IfMatch,
      body: ref(PolicyDocument),
      response: {
        200: answer(schema.PolicyChange, 'The policy, and existing tokens that break it', 'ETag'),
        ...problems(400, 401, 403, 404, 412, 413, 415, 422, 500, 503),
      },
    },
    handler: async (request, reply) => {
      const { caller, params, body, query } = request
      const change = { expected: expectedVersions(request), dryRun: query.dry_run, document: body }
      return showChange(reply, await policies.replacePolicy(db, caller, params.organization, change))
    },
  })

  await app.register(patchRoute, { db })
}

/** In a scope of its own, so that only this route accepts the media type of RFC 7396. */
const patchRoute: FastifyPluginAsyncTypebox<Pick<Deps, 'db'>> = async (app, { db }) => {
  addJsonParser(app, { type: mergePatch })

  app.route({
    method: 'PATCH',
    url,
    schema: {
      operationId: 'updatePolicy',
      summary: "Change the organization's own policy by a JSON Merge Patch (RFC 7396)",
      tags,
      consumes: ['application/json', mergePatch],
      params: OrganizationParams,
      querystring: schema.PolicyChangeQuery,
      headers: IfMatch,
      body: ref(schema.PolicyPatch),
      response: {
        200: answer(schema.PolicyChange, 'The policy, and existing tokens that break it', 'ETag'),
        ...problems(400, 401, 403, 404, 412, 413, 415, 422, 500, 503),
      },
    },
    handler: async (request, reply) => {
      const { caller, params, body, query } = request
      const change = { expected: expectedVersions(request), dryRun: query.dry_run, patch: body }
      return showChange(reply, await policies.updatePolicy(db, caller, params.organization, change))
    },
  })
}
