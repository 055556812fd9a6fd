import { isUtf8 } from 'node:buffer'
import { Readable } from 'node:stream'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyReply } from 'fastify'
import type { Caller } from '../access/caller.ts'
import type { Credential } from '../access/credential.ts'
import { authenticate } from '../authentication/authenticate.ts'
import { clientAssertions } from '../authentication/client-assertion.ts'
import { addVary, preferredType } from '../http/accept.ts'
import { addTextParser, notUtf8 } from '../http/bodies.ts'
import type { Deps } from '../http/deps.ts'
import {
  introspectionErrors,
  OAuthError,
  revocationErrors,
  sendIntrospectionError,
  sendOAuthError,
} from '../http/oauth-error.ts'
import { empty, ref } from '../http/schemas.ts'
import type { Signing } from '../keys/signing.ts'
import { canSign } from '../keys/signing.ts'
import { plainAddress } from '../shared/addresses.ts'
import { AppError } from '../shared/errors.ts'
import { Secret } from '../shared/secret.ts'
import { revokeBySecret } from '../tokens/revoke.ts'
import type { StaticSecret } from '../tokens/static-secret/static-secret.ts'
import { batchRoutes } from './batch-routes.ts'
import { handedOver } from './fast-path.ts'
import { introspect } from './introspect.ts'
import * as schema from './schema.ts'
import { plainType, signedType, signIntrospection } from './signed.ts'

const security = [{ bearer: [] }, { basic: [] }, { privateKeyJwt: [] }]
const consumes = ['application/x-www-form-urlencoded']

export type IntrospectionOptions = Deps & {
  signing: Signing
  staticSecret: StaticSecret | undefined
  /** Called for every introspection, with whether the token was good. */
  count(active: boolean): void
}

/** The protocol endpoints: form-encoded, with the errors of RFC 6749 §5.2. */
export const introspectionRoutes: FastifyPluginAsyncTypebox<IntrospectionOptions> = async (app, deps) => {
  const { db, credentials, usage, issuer, staticSecret, signing, count } = deps
  const assertions = clientAssertions(deps)
  const types = canSign(signing) ? ([plainType, signedType] as const) : ([plainType] as const)
  const sign = async (caller: Caller, reply: FastifyReply, presented: Promise<object>) => {
    const jwt = await signIntrospection(db, { signing, issuer }, caller, await presented)
    return reply.type(signedType).send(jwt)
  }
  for (const shape of [...schema.components, OAuthError]) app.addSchema(shape)
  app.removeAllContentTypeParsers()
  addTextParser(app, consumes, assertions.parser(parseForm))
  app.setErrorHandler(sendOAuthError)
  // Reuse the failure of the fast path instead of checking the credential again.
  app.addHook('onRequest', ({ raw }, _reply, done) => done(handedOver(raw)?.error))
  app.addHook('preParsing', ({ raw }, _reply, payload, done) => {
    const body = handedOver(raw)?.body
    done(null, body ? Readable.from([body]) : payload)
  })
  app.addHook(
    'onRequest',
    authenticate({ ...deps, basic: 'client', mayAuthenticateLater: assertions.mayAuthenticateLater }),
  )
  app.addHook('onSend', (_request, reply, _payload, done) => {
    reply.header('cache-control', 'no-store')
    reply.header('x-content-type-options', 'nosniff')
    done()
  })

  await app.register(batchRoutes, { ...deps, count })

  app.route({
    method: 'POST',
    url: '/introspect',
    config: { quiet: true },
    schema: {
      operationId: 'introspect',
      summary: 'Introspect a token (RFC 7662)',
      tags: ['Verifying'],
      security,
      consumes,
      body: ref(schema.TokenForm),
      response: {
        200: {
          description: 'The introspection response; signed if Accept prefers that (RFC 9701)',
          content: {
            [plainType]: { schema: ref(schema.IntrospectionResponse) },
            [signedType]: { schema: { type: 'string' } },
          },
        },
        ...introspectionErrors(400, 401, 406, 413, 415, 500, 503),
      },
    },
    onSend: (_request, reply, _payload, done) => {
      addVary(reply, 'Accept')
      done()
    },
    errorHandler: sendIntrospectionError,
    handler: ({ caller, body, headers }, reply) => {
      const type = preferredType(headers.accept, types)
      const found = introspect(credentials, usage, caller, {
        secret: new Secret(body.token),
        ip: clientIp(body.client_ip),
      })
      const present = (credential: Credential | undefined) => {
        count(credential !== undefined)
        return schema.presentCredential(credential, issuer)
      }
      if (type === signedType) return sign(caller, reply, Promise.resolve(found).then(present))
      return found instanceof Promise ? found.then(present) : void reply.send(present(found))
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
        200: empty('The token is revoked, or was never good'),
        ...revocationErrors(400, 401, 403, 413, 415, 500, 503),
      },
    },
    handler: async ({ caller, body }, reply) => {
      const secret = new Secret(body.token)
      await revokeBySecret(db, caller, secret, staticSecret)
      credentials.forget(secret.hashText())
      return reply.send(undefined)
    },
  })
}

function clientIp(text: string | undefined): string | null {
  if (text === undefined) return null
  const address = plainAddress(text)
  if (address !== null) return address
  const detail = 'is not an IPv4 or IPv6 address'
  throw new AppError('invalid_request', `client_ip ${detail}`, {
    fields: [{ in: 'body', field: 'client_ip', detail }],
  })
}

const onlyToken = /^token=([A-Za-z0-9._~-]+)$/

/** RFC 6749 §3.2: unknown parameters are ignored, but not in unlimited number. */
const maxParameters = 100

type Done = (error: Error | null, form?: Record<string, string>) => void

function parseForm(_request: unknown, text: string, done: Done): void {
  const form: Record<string, string> = Object.create(null)
  // The common case: a single parameter without any encoding.
  const token = onlyToken.exec(text)?.[1]
  if (token !== undefined) {
    form.token = token
    return void done(null, form)
  }
  if (!isUtf8(decoded(text))) return void done(notUtf8())
  const parameters = new URLSearchParams(text)
  if (parameters.size > maxParameters)
    return void done(new AppError('invalid_request', `The form has more than ${maxParameters} parameters.`))
  for (const [name, value] of parameters) {
    if (name in form) return void done(repeated(name))
    form[name] = value
  }
  done(null, form)
}

/** The bytes that a form encodes. URLSearchParams would replace invalid UTF-8 by U+FFFD. */
function decoded(text: string): Buffer {
  const bytes = Buffer.from(text).toString('latin1')
  const byteOf = (_: string, hex: string) => String.fromCharCode(Number.parseInt(hex, 16))
  return Buffer.from(bytes.replace(/%([0-9a-f]{2})/gi, byteOf), 'latin1')
}

/** RFC 6749 §3.2: rejected, because a proxy might check the first value and we would use the last. */
function repeated(name: string): AppError {
  const field = /^\w{1,50}$/.test(name) ? name : 'a parameter'
  const detail = 'is given more than once'
  return new AppError('invalid_request', `${field} ${detail}`, { fields: [{ in: 'body', field, detail }] })
}
