import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyReply } from 'fastify'
import type { Deps } from '../../http/deps.ts'
import { etag, expectedVersions } from '../../http/etag.ts'
import { idempotencyKey } from '../../http/idempotency-key.ts'
import { answer, IfMatch, problems, ref } from '../../http/schemas.ts'
import type { Outcome } from '../../idempotency/idempotency.ts'
import type { Signing } from '../../keys/signing.ts'
import { presentToken, Token, TokenParams } from '../schema.ts'
import { cancelRotation, finishRotation, type Rotated, rotateSelf, rotateToken } from './rotate.ts'
import * as schema from './schema.ts'
import { listTokenSecrets } from './secrets.ts'

const item = '/organizations/:organization/tokens/:token'
const tags = ['Tokens']

/** A token outlives its secret. */
export const rotationRoutes: FastifyPluginAsyncTypebox<Deps & { signing: Signing }> = async (
  app,
  { db, credentials, issuer, signing },
) => {
  for (const shape of schema.components) app.addSchema(shape)
  const issuing = { issuer, signing }
  const present = (now: Date) => (rotated: Rotated) => ({
    etag: etag(rotated.token),
    affected: rotated.affected,
    body: schema.presentRotated(rotated, now),
  })
  const show = (
    reply: FastifyReply,
    { answer, replayed }: Outcome<ReturnType<ReturnType<typeof present>>>,
  ) => {
    for (const hash of answer.affected) credentials.forget(hash)
    reply.header('etag', answer.etag)
    if (replayed) reply.header('idempotency-replayed', 'true')
    return answer.body
  }
  const rotated = {
    200: answer(schema.RotatedToken, 'The token, with its new secret', 'ETag', 'Idempotency-Replayed'),
  }

  app.route({
    method: 'POST',
    url: `${item}/rotate`,
    config: { forgets: true },
    schema: {
      operationId: 'rotateToken',
      summary: 'Give a token a new secret, which is shown only once',
      description:
        'Id, history, scopes and limits stay. The previous secret stays good for the overlap. If the answer was lost, ' +
        'repeat the request: a new secret that was never used is replaced.',
      tags,
      params: TokenParams,
      headers: schema.RotationHeaders,
      body: ref(schema.TokenRotation),
      response: { ...rotated, ...problems(400, 401, 403, 404, 409, 412, 413, 415, 422, 500, 503) },
    },
    handler: async (request, reply) => {
      const { caller, params, body } = request
      return show(
        reply,
        await rotateToken(db, caller, params, {
          rotation: schema.parseRotation(body, caller.now),
          attempt: { key: idempotencyKey(request), request: ['rotateToken', params.token, body] },
          issuing,
          expected: expectedVersions(request),
          present: present(caller.now),
        }),
      )
    },
  })

  app.route({
    method: 'POST',
    url: '/self/rotate',
    config: { forgets: true },
    schema: {
      operationId: 'rotateSelf',
      summary: 'Give the token of this request a new secret',
      description:
        'For tokens with `tokens:own` or `tokens:write`, and for those whose type has `self_rotation`. A secret in its ' +
        'overlap can be used, but not rotated.',
      tags,
      headers: schema.RotationHeaders,
      body: ref(schema.TokenRotation),
      response: { ...rotated, ...problems(400, 401, 403, 404, 409, 412, 413, 415, 422, 500, 503) },
    },
    handler: async (request, reply) => {
      const { caller, body } = request
      return show(
        reply,
        await rotateSelf(db, caller, {
          rotation: schema.parseRotation(body, caller.now),
          attempt: { key: idempotencyKey(request), request: ['rotateSelf', body] },
          issuing,
          expected: expectedVersions(request),
          present: present(caller.now),
        }),
      )
    },
  })

  for (const { path, operationId, summary, end } of [
    {
      path: 'finish',
      operationId: 'finishRotation',
      summary: 'End the overlap of a rotation now, everywhere; has no effect without an overlap',
      end: finishRotation,
    },
    {
      path: 'cancel',
      operationId: 'cancelRotation',
      summary: 'Cancel a rotation whose new secret has not been used',
      end: cancelRotation,
    },
  ])
    app.route({
      method: 'POST',
      url: `${item}/rotate/${path}`,
      schema: {
        operationId,
        summary,
        tags,
        params: TokenParams,
        headers: IfMatch,
        response: {
          200: answer(Token, 'The token', 'ETag'),
          ...problems(400, 401, 403, 404, 409, 412, 413, 415, 500, 503),
        },
      },
      handler: async (request, reply) => {
        const { caller, params } = request
        const token = await end(db, caller, params, expectedVersions(request))
        reply.header('etag', etag(token))
        return presentToken(token, caller.now)
      },
    })

  app.route({
    method: 'GET',
    url: `${item}/secrets`,
    schema: {
      operationId: 'listTokenSecrets',
      summary: 'List the secrets of a token: which are good, and when and from where each was used',
      tags,
      params: TokenParams,
      response: {
        200: answer(schema.TokenSecretList, 'Its secrets'),
        ...problems(400, 401, 403, 404, 500, 503),
      },
    },
    handler: async ({ caller, params }) => {
      const secrets = await listTokenSecrets(db, caller, params)
      return { items: secrets.map(schema.presentSecret) }
    },
  })
}
