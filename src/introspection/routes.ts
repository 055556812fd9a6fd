import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { Deps } from '../deps.ts'
import { AppError } from '../errors.ts'
import { authenticate } from '../http/authenticate.ts'
import { OAuthError, oauthErrors, sendIntrospectionError, sendOAuthError } from '../http/oauth-error.ts'
import { answer, empty, ref } from '../http/schemas.ts'
import { Secret } from '../tokens/secret.ts'
import { revokeBySecret } from '../tokens/tokens.ts'
import { introspect } from './introspect.ts'
import * as schema from './schema.ts'

const security = [{ bearer: [] }, { basic: [] }]
const consumes = ['application/x-www-form-urlencoded']

/** The protocol endpoints: form-encoded, and with the errors of RFC 6749 §5.2. */
export const introspectionRoutes: FastifyPluginAsyncTypebox<Deps> = async (
  app,
  { db, now, issuer, environment },
) => {
  for (const shape of [...schema.components, OAuthError]) app.addSchema(shape)
  app.removeAllContentTypeParsers()
  app.addContentTypeParser(consumes, { parseAs: 'string' }, async (_request: unknown, text: string) =>
    parseForm(text),
  )
  app.setErrorHandler(sendOAuthError)
  app.addHook('onRequest', authenticate({ db, now, environment, basic: 'client' }))
  app.addHook('onSend', async (_request, reply) => void reply.header('cache-control', 'no-store'))

  app.route({
    method: 'POST',
    url: '/introspect',
    schema: {
      operationId: 'introspect',
      summary: 'Say whether a token is good, and what it stands for (RFC 7662)',
      tags: ['Verifying'],
      security,
      consumes,
      body: ref(schema.TokenForm),
      response: {
        200: answer(schema.IntrospectionResponse, 'What the token stands for, or that it is not good'),
        ...oauthErrors(400, 401, 413, 415, 500, 503),
      },
    },
    errorHandler: sendIntrospectionError,
    handler: async ({ caller, body }) => {
      const credential = await introspect(db, caller, new Secret(body.token), environment)
      return schema.presentCredential(credential, issuer)
    },
  })

  app.route({
    method: 'POST',
    url: '/revoke',
    schema: {
      operationId: 'revokeBySecret',
      summary: 'Revoke a token by its secret (RFC 7009)',
      tags: ['Verifying'],
      security,
      consumes,
      body: ref(schema.TokenForm),
      response: {
        200: empty('It is not good any more, or never was'),
        ...oauthErrors(400, 401, 403, 413, 415, 500, 503),
      },
    },
    handler: async ({ caller, body }, reply) => {
      await revokeBySecret(db, caller, new Secret(body.token), environment)
      return reply.send(undefined)
    },
  })
}

function parseForm(text: string): Record<string, string> {
  const form: Record<string, string> = Object.create(null)
  for (const [name, value] of new URLSearchParams(text)) {
    if (name in form) throw repeated(name)
    form[name] = value
  }
  return form
}

/** RFC 6749 §3.2: stands against a proxy that reads the first value where we would read the last. */
function repeated(name: string): AppError {
  const field = /^\w{1,50}$/.test(name) ? name : 'a parameter'
  const detail = 'is given more than once'
  return new AppError('invalid_request', `${field} ${detail}`, { fields: [{ in: 'body', field, detail }] })
}
