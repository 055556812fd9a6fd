import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { requirePermission } from '../access/caller.ts'
import type { Deps } from '../http/deps.ts'
import { addJsonParser } from '../http/json.ts'
import { introspectionErrors, sendIntrospectionError } from '../http/oauth-error.ts'
import { answer, ref } from '../http/schemas.ts'
import { Secret } from '../shared/secret.ts'
import { decide } from './introspect.ts'
import * as schema from './schema.ts'

/** Room for a thousand JWTs of two kilobytes each; longer ones have to be sent in smaller batches. */
const bodyLimit = 2 * 1024 * 1024

type Options = Deps & { count: (isActive: boolean) => void }

/** Register it in the scope of the protocol endpoints, to share their authentication and errors. */
export const batchRoutes: FastifyPluginAsyncTypebox<Options> = async (app, deps) => {
  const { credentials, usage, issuer, count } = deps
  for (const shape of [schema.TokenBatch, schema.IntrospectionResponses]) app.addSchema(shape)
  app.removeAllContentTypeParsers()
  addJsonParser(app)

  app.route({
    method: 'POST',
    url: '/introspect/batch',
    bodyLimit,
    config: { quiet: true },
    schema: {
      operationId: 'introspectBatch',
      summary: 'Introspect many tokens in one request',
      description:
        'Like `/introspect` for each token, with the same errors; an extension of RFC 7662. The body may have up to ' +
        '2 MiB. Tokens that are not cached are looked up in one statement.',
      tags: ['Verifying'],
      security: [{ bearer: [] }, { basic: [] }],
      body: ref(schema.TokenBatch),
      response: {
        200: answer(schema.IntrospectionResponses, 'One introspection response per token, in the same order'),
        ...introspectionErrors(400, 401, 413, 415, 500, 503),
      },
    },
    errorHandler: sendIntrospectionError,
    handler: async ({ caller, body: { tokens } }) => {
      requirePermission(caller, 'tokens:introspect')
      const { principal, now } = caller
      const secrets = tokens.map((token) => new Secret(token))
      const found = await credentials.verifyAll(secrets, now)
      const results = found.map((known) => {
        const credential = decide(usage, principal, known, now, null)
        count(credential !== undefined)
        return schema.presentCredential(credential, issuer)
      })
      return { results }
    },
  })
}
