import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyError, FastifyReply } from 'fastify'
import type { Deps } from '../http/deps.ts'
import { etag, expectedVersions } from '../http/etag.ts'
import { IdempotencyHeader, idempotencyKey } from '../http/idempotency-key.ts'
import { page, positionIn } from '../http/pages.ts'
import { answer, IfMatch, noContent, OrganizationParams, problems, ref } from '../http/schemas.ts'
import { invalidMembers, toAppError } from '../http/to-app-error.ts'
import type { Signing } from '../keys/signing.ts'
import { Refusals } from '../shared/errors.ts'
import { hashText, Secret } from '../shared/secret.ts'
import { attentionRoutes } from './attention/routes.ts'
import { createToken, previewToken } from './create/create.ts'
import { eligibilityOf } from './create/eligibility.ts'
import { creationRoutes } from './create/form-routes.ts'
import * as creationSchema from './create/form-schema.ts'
import { CreationQuery, NewToken, parseForPreview, parseNewToken } from './create/schema.ts'
import { getSelf, getToken } from './find.ts'
import { countTokens, findStaticToken, listTokens } from './list/list.ts'
import { CountQuery, parseTokenQuery, TokenCounts, TokenPosition, TokenQuery } from './list/schema.ts'
import { revokeSelf, revokeToken } from './revoke.ts'
import { rotationRoutes } from './rotate/routes.ts'
import * as schema from './schema.ts'
import type { StaticSecret } from './static-secret/static-secret.ts'
import * as tokens from './tokens.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /**
     * The operation changes a single secret, which it removes from this process's cache, so it need not wait for the
     * notification.
     */
    forgets?: boolean
  }
}

const collection = '/organizations/:organization/tokens'
const item = `${collection}/:token`
const tags = ['Tokens']

/** Room for a comment of 100,000 characters of any kind. */
const bodyLimit = 1024 * 1024

export const tokenRoutes: FastifyPluginAsyncTypebox<
  Deps & { signing: Signing; staticSecret: StaticSecret | undefined }
> = async (app, deps) => {
  const { db, credentials, cursorKey, staticSecret, issuer, signing } = deps
  for (const shape of [...schema.components, ...creationSchema.components, TokenCounts]) app.addSchema(shape)
  await app.register(creationRoutes, { db, signing })
  await app.register(attentionRoutes, { db, cursorKey })
  await app.register(rotationRoutes, deps)

  app.route({
    method: 'POST',
    url: collection,
    bodyLimit,
    config: { forgets: true },
    // A dry run reports what the schema rejects together with what the rules reject.
    attachValidation: true,
    schema: {
      operationId: 'createToken',
      summary: 'Create a token; its secret is shown only once',
      tags,
      params: OrganizationParams,
      querystring: CreationQuery,
      headers: IdempotencyHeader,
      body: ref(NewToken),
      response: {
        200: answer(schema.TokenPreview, 'With `dry_run`: the token as it would be'),
        201: answer(
          schema.IssuedToken,
          'The token, with its secret',
          'ETag',
          'Location',
          'Idempotency-Replayed',
        ),
        ...problems(400, 401, 403, 404, 409, 413, 415, 422, 500, 503),
      },
    },
    handler: async (request, reply) => {
      const { caller, params, body, validationError: invalid } = request
      const issuing = { issuer, signing }
      // A query that comes with an invalid body is not converted.
      if (String(request.query.dry_run) === 'true') {
        const refusals = new Refusals()
        const members = invalid ? invalidMembers(invalid as FastifyError) : []
        if (!members) throw invalid
        if (invalid) refusals.add(toAppError(invalid, bodyLimit))
        const input = parseForPreview(body, members, caller.now, refusals)
        const asked = { organizationKey: params.organization, input, issuing }
        reply.code(200)
        return schema.presentPreview(await previewToken(db, caller, asked, refusals), caller.now)
      }
      if (invalid) throw invalid
      const input = parseNewToken(body, caller.now)
      const attempt = { key: idempotencyKey(request), request: ['createToken', body] }
      const { answer, replayed } = await createToken(db, caller, {
        organizationKey: params.organization,
        input,
        attempt,
        issuing,
        present: (issued) => ({
          etag: etag(issued.token),
          location: `/v1/organizations/${issued.token.organizationKey}/tokens/${issued.token.id}`,
          body: schema.presentIssued(issued, caller.now),
        }),
      })
      credentials.forget(new Secret(answer.body.secret).hashText())
      reply
        .code(201)
        .header('etag', answer.etag)
        .header('location', app.basePath + answer.location)
      if (replayed) reply.header('idempotency-replayed', 'true')
      return answer.body
    },
  })

  app.route({
    method: 'GET',
    url: collection,
    schema: {
      operationId: 'listTokens',
      summary: 'List tokens, page by page',
      tags,
      params: OrganizationParams,
      querystring: TokenQuery,
      response: {
        200: answer(schema.TokenPage, 'A page of tokens', 'Link'),
        ...problems(400, 401, 403, 404, 500, 503),
      },
    },
    handler: async (request, reply) => {
      const { caller, params, query } = request
      const after = positionIn(TokenPosition, request, cursorKey)
      const asked = parseTokenQuery(query, after)
      const { rows, resume } = await listTokens(db, caller, params.organization, asked)
      const fixed = await findStaticToken(db, caller, params.organization, staticSecret)
      const candidate = { subject: query.owner, source: query.owner_identity_source }
      const eligibility = await eligibilityOf(db, caller, params.organization, candidate)
      return {
        ...page(request, reply, {
          cursorKey,
          rows,
          present: (token) => schema.presentToken(token, caller.now),
          positionOf: ({ sortValue: value, id }) => ({ value, id }),
          resume,
        }),
        static_token: fixed ? schema.presentToken(fixed, caller.now) : null,
        creation: creationSchema.presentCreation(eligibility),
      }
    },
  })

  app.route({
    method: 'GET',
    url: `${collection}/counts`,
    schema: {
      operationId: 'countTokens',
      summary: 'Count the tokens of each status',
      tags,
      params: OrganizationParams,
      querystring: CountQuery,
      response: {
        200: answer(TokenCounts, 'The counts'),
        ...problems(400, 401, 403, 404, 500, 503),
      },
    },
    handler: async ({ caller, params, query }) => countTokens(db, caller, params.organization, query.owner),
  })

  app.route({
    method: 'GET',
    url: item,
    schema: {
      operationId: 'getToken',
      summary: 'Read a token',
      tags,
      params: schema.TokenParams,
      response: { 200: answer(schema.Token, 'The token', 'ETag'), ...problems(400, 401, 403, 404, 500, 503) },
    },
    handler: async ({ caller, params }, reply) => {
      const token = await getToken(db, caller, params, staticSecret)
      return show(reply, token, caller.now)
    },
  })

  app.route({
    method: 'PATCH',
    url: item,
    bodyLimit,
    schema: {
      operationId: 'updateToken',
      summary: 'Change the name, comment or allowed networks of a token',
      tags,
      params: schema.TokenParams,
      headers: IfMatch,
      body: ref(schema.TokenChange),
      response: {
        200: answer(schema.Token, 'The token', 'ETag'),
        ...problems(400, 401, 403, 404, 409, 412, 413, 415, 422, 500, 503),
      },
    },
    handler: async (request, reply) => {
      const { caller, params, body } = request
      const expected = expectedVersions(request)
      const change = schema.parseTokenChange(body)
      const token = await tokens.updateToken(db, caller, params, { expected, change })
      return show(reply, token, caller.now)
    },
  })

  app.route({
    method: 'POST',
    url: `${item}/revoke`,
    config: { forgets: true },
    schema: {
      operationId: 'revokeToken',
      summary: 'Revoke a token permanently; it remains in lists',
      tags,
      params: schema.TokenParams,
      body: ref(schema.Revocation),
      response: {
        200: answer(schema.Token, 'The token', 'ETag'),
        ...problems(400, 401, 403, 404, 409, 413, 415, 500, 503),
      },
    },
    handler: async ({ caller, params, body }, reply) => {
      const reason = body?.reason ?? null
      const token = await revokeToken(db, caller, params, reason)
      credentials.forget(hashText(token.hash))
      return show(reply, token, caller.now)
    },
  })

  app.route({
    method: 'DELETE',
    url: item,
    schema: {
      operationId: 'deleteToken',
      summary: 'Delete a token permanently, in any status',
      tags,
      params: schema.TokenParams,
      querystring: schema.DeletionQuery,
      headers: IfMatch,
      response: { ...noContent, ...problems(400, 401, 403, 404, 409, 412, 413, 415, 422, 500, 503) },
    },
    handler: async (request, reply) => {
      const { caller, params } = request
      const how = { expected: expectedVersions(request), confirm: request.query.confirm }
      await tokens.deleteToken(db, caller, params, how)
      return reply.code(204).send(undefined)
    },
  })

  app.route({
    method: 'GET',
    url: '/self',
    config: { organizationInQuery: true },
    schema: {
      operationId: 'getSelf',
      summary: 'Read the token or signed-in user of this request',
      tags,
      querystring: schema.SelfQuery,
      response: {
        200: answer(schema.Self, 'The token, or the signed-in user (without ETag)', 'ETag'),
        ...problems(400, 401, 404, 500, 503),
      },
    },
    handler: async ({ caller }, reply) => {
      const self = await getSelf(db, caller, staticSecret)
      if ('user' in self) return schema.presentSignedIn(self)
      return show(reply, self, caller.now)
    },
  })

  app.route({
    method: 'POST',
    url: '/self/revoke',
    config: { forgets: true },
    schema: {
      operationId: 'revokeSelf',
      summary: 'Revoke the token of this request',
      tags,
      body: ref(schema.Revocation),
      response: {
        200: answer(schema.Token, 'The token', 'ETag'),
        ...problems(400, 401, 404, 409, 413, 415, 500, 503),
      },
    },
    handler: async ({ caller, body }, reply) => {
      const token = await revokeSelf(db, caller, body?.reason ?? null)
      credentials.forget(hashText(token.hash))
      return show(reply, token, caller.now)
    },
  })
}

function show(reply: FastifyReply, token: Awaited<ReturnType<typeof getToken>>, now: Date) {
  reply.header('etag', etag(token))
  return schema.presentToken(token, now)
}
