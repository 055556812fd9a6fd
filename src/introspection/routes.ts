import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { Deps } from '../deps.ts'
import { AppError } from '../errors.ts'
import { addVary, preferredType } from '../http/accept.ts'
import { authenticate } from '../http/authenticate.ts'
import { OAuthError, oauthErrors, sendOAuthError } from '../http/oauth-error.ts'
import { empty, ref } from '../http/schemas.ts'
import { canSign } from '../keys/signing.ts'
import { Secret } from '../tokens/secret.ts'
import { revokeBySecret } from '../tokens/tokens.ts'
import { introspect } from './introspect.ts'
import * as schema from './schema.ts'
import { plainType, signedType, signIntrospection } from './signed.ts'

const security = [{ bearer: [] }, { basic: [] }]
const consumes = ['application/x-www-form-urlencoded']

/** The protocol endpoints: form-encoded, and with the errors of RFC 6749 §5.2. */
export const introspectionRoutes: FastifyPluginAsyncTypebox<Deps> = async (
  app,
  { db, now, issuer, signing },
) => {
  for (const shape of [...schema.components, OAuthError]) app.addSchema(shape)
  app.removeAllContentTypeParsers()
  app.addContentTypeParser(consumes, { parseAs: 'string' }, async (_request: unknown, text: string) =>
    parseForm(text),
  )
  app.setErrorHandler(sendOAuthError)
  app.addHook('onRequest', authenticate({ db, now, basic: true }))
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
        200: {
          description: 'Whether it is good; signed if Accept prefers that (RFC 9701)',
          content: {
            [plainType]: { schema: ref(schema.IntrospectionResponse) },
            [signedType]: { schema: { type: 'string' } },
          },
        },
        ...oauthErrors(400, 401, 406, 413, 415, 500, 503),
      },
    },
    onSend: (_request, reply, _payload, done) => {
      addVary(reply, 'Accept')
      done()
    },
    handler: async ({ caller, body, headers }, reply) => {
      const type = preferredType(headers.accept, canSign(signing) ? [plainType, signedType] : [plainType])
      const answer = schema.presentCredential(await introspect(db, caller, new Secret(body.token)), issuer)
      if (type === plainType) return answer
      return reply.type(type).send(await signIntrospection(db, signing, issuer, caller, answer))
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
      await revokeBySecret(db, caller, new Secret(body.token))
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
