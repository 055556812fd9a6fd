import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify'
import type { Registry } from 'prom-client'
import type { Static } from 'typebox'
import type { Holder } from '../access/concurrency.ts'
import type { Credential } from '../access/credential.ts'
import type { Viewer } from '../access/narrowing.ts'
import { presentedIn } from '../authentication/presented-credential.ts'
import { hasBody } from '../http/bodies.ts'
import { challenges } from '../http/challenge.ts'
import type { Deps } from '../http/deps.ts'
import { everyMethod } from '../http/methods.ts'
import { problemDocument, settle } from '../http/problem.ts'
import { problems } from '../http/schemas.ts'
import { lookUp } from '../introspection/introspect.ts'
import { plainAddress } from '../shared/addresses.ts'
import { AppError } from '../shared/errors.ts'
import type { Secret } from '../shared/secret.ts'
import { type Admitted, admission, type VerificationOptions } from './admission.ts'
import { identityOf } from './identity.ts'
import { measureVerification, outcomeOf } from './metrics.ts'
import { hasTokenInQuery } from './original.ts'
import { allowed, type Requirement, requirementOf } from './requirement.ts'
import { Verified, VerifyQuery } from './schema.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** The tokens that the requesting gateway may see; null until it is authenticated. */
    viewer: Admitted | null
  }
}

/** The token that the gateway's request counts for, if it has a credential. */
export function gatewayOf({ viewer }: FastifyRequest): Holder | undefined {
  return viewer?.tokenId ? { caller: viewer.tokenId, organizationId: viewer.organizationId } : undefined
}

const gatewayField = 'x-counterfoil-gateway'
const requirementField = 'x-counterfoil-require'
const others = everyMethod.filter((name) => name !== 'GET' && name !== 'HEAD')

type Options = Pick<Deps, 'credentials' | 'usage' | 'now'> & {
  registry: Registry
  verification: VerificationOptions
}

/** Forward authentication: gateways send the header fields of the request that they are about to forward. */
export const verificationRoutes: FastifyPluginAsyncTypebox<Options> = async (app, options) => {
  const { credentials, usage, now, verification } = options
  const count = measureVerification(options.registry)
  const admit = admission(credentials, usage, verification.trustedNetworks)
  const presenting = { basic: 'password', fields: verification.fields } as const

  app.decorateRequest('viewer', null)
  // Ignores bodies: gateways may forward the original request's body headers, without the body itself.
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', (_request, _payload, done) => done(null))
  app.addHook('onRequest', ({ headers }, _reply, done) => {
    // Malformed or unsupported values would be rejected.
    delete headers['content-type']
    delete headers['content-encoding']
    done()
  })
  app.addHook('onRequest', (request, _reply, done) => {
    const admitted = (viewer: Admitted) => {
      request.viewer = viewer
      done()
    }
    const { remoteAddress } = request.raw.socket
    const gateway = { field: request.headers[gatewayField], peer: plainAddress(remoteAddress) }
    const viewer = admit(gateway, now())
    if (viewer instanceof Promise) viewer.then(admitted, done)
    else admitted(viewer)
  })
  app.addHook('onSend', (request, reply, _payload, done) => {
    reply.header('cache-control', 'no-store')
    // If the body never arrives, the next request on this connection would be read as the body.
    if (hasBody(request)) reply.header('connection', 'close')
    done()
  })
  app.setErrorHandler<FastifyError>((thrown, request, reply) => {
    const error = settle(thrown, request, reply, {
      isKnown: request.viewer !== null,
      // The gateway's own address, since the failure is not the user's.
      ip: request.socket.remoteAddress,
    })
    count(outcomeOf(error.code, request.viewer !== null))
    // RFC 7662 §2.3 requires 401 for resource servers. A 403 would mean that the user lacks a scope.
    if (error.code === 'insufficient_scope' && !request.viewer) reply.code(401)
    const due = request.viewer ? challenges(error, usesBasic(request)) : challenges(error, false).slice(0, 1)
    if (due.length > 0) reply.header('www-authenticate', due)
    reply.type('application/problem+json').send(problemDocument(request.server.basePath, error, request.id))
  })

  const decide = (request: FastifyRequest, reply: FastifyReply, required: Requirement, original?: string) => {
    const secret = presentedBy(request, original)
    const answer = (token: Credential | undefined) => {
      const identity = identityOf(allowed(token, required))
      count('allowed')
      return reply.headers(identity).send(undefined)
    }
    const ip = userAddress(request)
    const found = lookUp(credentials, usage, viewerOf(request), { secret, now: now(), ip })
    return found instanceof Promise ? found.then(answer) : void answer(found)
  }

  const presentedBy = ({ raw, headers }: FastifyRequest, original: string | undefined): Secret => {
    const inQuery = hasTokenInQuery(headers, original)
    try {
      const { secret } = presentedIn(raw.rawHeaders, presenting)
      if (!inQuery) return secret
    } catch (error) {
      if (!(error instanceof AppError) || error.code !== 'invalid_request') throw error
    }
    throw new AppError('ambiguous_credentials', 'Send one token, in a header field and not in the URL.')
  }

  const definition = {
    operationId: 'verify',
    summary: 'Tell a gateway whether to let a request through',
    description:
      "All methods get the same response, and bodies are ignored. The user's token is read from Bearer, from Basic as the " +
      'password with any user name, and from the header fields in `VERIFY_HEADERS`. Below `/verify/`, the rest ' +
      'of the URL is that of the original request, and `X-Counterfoil-Require` contains the requirement in the form ' +
      'of this query.',
    tags: ['Verifying'],
    security: [{ gateway: [] }],
    querystring: VerifyQuery,
    response: { 200: Verified, ...problems(400, 401, 403, 500, 503) },
  }
  // Preflight requests must be forwarded to the service they are for.
  const config = { quiet: true, cors: false } as const
  const handler = (
    request: FastifyRequest<{ Querystring: Static<typeof VerifyQuery> }>,
    reply: FastifyReply,
  ) => decide(request, reply, requirementOf(request.query))
  app.route({ method: 'GET', url: '/verify', config, schema: definition, handler })
  const schema = { hide: true, querystring: VerifyQuery }
  app.route({ method: others, url: '/verify', config, schema, handler })
  app.route({
    method: ['GET', ...others],
    url: '/verify/*',
    config,
    schema: { hide: true },
    handler: (request, reply) => decide(request, reply, requirementInField(request), request.url),
  })
}

function viewerOf({ viewer }: FastifyRequest): Viewer {
  if (!viewer) throw new Error('the gateway has not been authenticated')
  return viewer
}

/** Without a trusted proxy, the connection is the gateway's own, and its address is not the user's. */
function userAddress({ ips }: FastifyRequest): string | null {
  return ips && ips.length > 1 ? plainAddress(ips.at(-1)) : null
}

function requirementInField(request: FastifyRequest): Requirement {
  const text = request.headers[requirementField]
  if (text === undefined) return requirementOf({})
  const given = new URLSearchParams([text].flat().join('&'))
  const query = Object.fromEntries(given)
  if (Object.keys(query).length === given.size && request.validateInput(query, VerifyQuery))
    return requirementOf(query)
  const detail = 'is not a valid query string of /verify'
  throw new AppError('invalid_request', `X-Counterfoil-Require ${detail}.`, {
    fields: [{ in: 'header', field: requirementField, detail }],
  })
}

function usesBasic({ headers }: FastifyRequest): boolean {
  return headers.authorization?.toLowerCase().startsWith('basic ') ?? false
}
