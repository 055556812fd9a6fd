import { createHash } from 'node:crypto'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Deps } from '../http/deps.ts'
import { matchesEtag } from '../http/etag.ts'
import { answer, empty, problems, ref } from '../http/schemas.ts'
import { publishedKeys } from '../keys/keys.ts'
import { jwksMaxAge } from '../keys/rotation.ts'
import type { Signing } from '../keys/signing.ts'
import { canSign } from '../keys/signing.ts'
import * as schema from './schema.ts'

const tags = ['Verifying']
const cacheControl = `public, max-age=${jwksMaxAge}`

/** Discovery for services that verify JWTs themselves. */
export const discoveryRoutes: FastifyPluginAsyncTypebox<Deps & { signing: Signing }> = async (
  app,
  { db, issuer, signing },
) => {
  for (const shape of schema.components) app.addSchema(shape)

  app.route({
    method: 'GET',
    url: '/.well-known/jwks.json',
    schema: {
      operationId: 'getJwks',
      summary: 'The public keys for verifying JWTs (RFC 7517)',
      tags,
      security: [],
      headers: schema.IfNoneMatch,
      response: {
        200: {
          description: 'The keys',
          content: { 'application/jwk-set+json': { schema: ref(schema.JwkSet) } },
        },
        304: empty('Not modified'),
        ...problems(400, 500, 503),
      },
    },
    handler: async (request, reply) => {
      const keys = (await publishedKeys(db)).map(({ publicJwk }) => schema.presentJwk(publicJwk))
      const kids = keys.map(({ kid }) => kid).join(' ')
      // A kid is the hash of its key, so equal kids mean equal keys.
      const etag = `"${createHash('sha256').update(kids).digest('base64url')}"`
      reply.headers({ etag, 'cache-control': cacheControl })
      if (matchesEtag(request.headers['if-none-match'], etag)) return reply.code(304).send(undefined)
      return reply.type('application/jwk-set+json').send({ keys })
    },
  })

  const metadata = async (_request: FastifyRequest, reply: FastifyReply) => {
    const algs = canSign(signing) ? (await publishedKeys(db)).map(({ alg }) => alg) : []
    reply.header('cache-control', cacheControl)
    return schema.presentMetadata(issuer, [...new Set(algs)])
  }
  const response = { 200: answer(schema.ServerMetadata, 'The metadata'), ...problems(400, 500, 503) }
  app.route({
    method: 'GET',
    url: '/.well-known/oauth-authorization-server',
    schema: {
      operationId: 'getServerMetadata',
      summary: 'Authorization server metadata (RFC 8414)',
      tags,
      security: [],
      response,
    },
    handler: metadata,
  })
  // RFC 8414 §3.1 puts the issuer's path behind the well-known one; a proxy that strips a prefix would not forward that
  // path.
  if (app.basePath)
    app.route({
      method: 'GET',
      url: `/.well-known/oauth-authorization-server${app.basePath}`,
      schema: { hide: true, response },
      handler: metadata,
    })
}
