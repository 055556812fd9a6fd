import { randomUUID } from 'node:crypto'
import cors from '@fastify/cors'
import Fastify, {
  type FastifyBaseLogger,
  type FastifyInstance,
  type FastifyPluginAsync,
  LogController,
  type onRequestHookHandler,
} from 'fastify'
import { limitTo } from './access/concurrency.ts'
import { authenticate } from './authentication/authenticate.ts'
import { authenticateCommand } from './authentication/command.ts'
import { authenticateSessions } from './authentication/session.ts'
import { authenticateUsers } from './authentication/sign-in.ts'
import { auditRoutes } from './change-log/routes.ts'
import { clientKeyRoutes } from './client-keys/routes.ts'
import { consoleRoutes } from './console/routes.ts'
import { discoveryRoutes } from './discovery/routes.ts'
import { addressBehind, trustIn } from './http/address.ts'
import { checkBodies } from './http/bodies.ts'
import type { Deps } from './http/deps.ts'
import { closeAnswered } from './http/drain.ts'
import { Durations } from './http/durations.ts'
import { readEmptyMembers } from './http/empty-members.ts'
import { createFailedCredentials, type FailureLimit } from './http/failed-credentials.ts'
import { healthRoutes } from './http/health.ts'
import { addJsonParser } from './http/json.ts'
import { clientLeft, isVerbose, logRequests } from './http/log.ts'
import { noteMethods, routerOptions } from './http/methods.ts'
import { type Measuring, metrics } from './http/metrics.ts'
import { docs, openapi } from './http/openapi.ts'
import { limitRequests } from './http/overload.ts'
import {
  answerClientError,
  answerUndecodable,
  answerUnserved,
  sendNotFound,
  sendProblem,
} from './http/problem.ts'
import { problemTypeRoutes } from './http/problem-types.ts'
import { rejectUnsafeText } from './http/reject-unsafe-text.ts'
import * as schemas from './http/schemas.ts'
import { addSecurityHeaders } from './http/security-headers.ts'
import { isSlowBody, serverWith } from './http/server.ts'
import { nameRequests } from './http/tracing.ts'
import { lowerCaseIds, schemaController } from './http/validation.ts'
import { type FastPathOptions, introspectionFastPath } from './introspection/fast-path.ts'
import { measureIntrospection } from './introspection/metrics.ts'
import { introspectionRoutes } from './introspection/routes.ts'
import { issuerRoutes } from './issuers/routes.ts'
import { createSignIn } from './issuers/sign-in.ts'
import { signingKeyRoutes } from './keys/routes.ts'
import type { Signing } from './keys/signing.ts'
import { githubLeakRoutes, leakRoutes } from './leaks/routes.ts'
import { organizationRoutes } from './organizations/routes.ts'
import { ownerRoutes } from './owners/routes.ts'
import { policyRoutes } from './policy/routes.ts'
import { revocationRoutes, revocationStreamRoutes } from './revocations/routes.ts'
import type { Tail } from './revocations/tail.ts'
import { scimRoutes } from './scim/routes.ts'
import { sessionCookie } from './sessions/cookie.ts'
import { openidRoutes } from './sessions/openid-routes.ts'
import { createProvider } from './sessions/provider.ts'
import { createRecheck } from './sessions/recheck.ts'
import { sessionRoutes, signInLinkRoutes } from './sessions/routes.ts'
import { basePathOf } from './shared/public-url.ts'
import type { ReceiveContext } from './signals/receive.ts'
import { securityEventRoutes, signalRoutes } from './signals/routes.ts'
import { statusListRoutes } from './status-lists/routes.ts'
import { tokenTypeRoutes } from './token-types/routes.ts'
import { importRoutes } from './tokens/import/routes.ts'
import { tokenRoutes } from './tokens/routes.ts'
import type { StaticSecret } from './tokens/static-secret/static-secret.ts'
import { transparencyLogRoutes } from './transparency-log/routes.ts'
import type { VerificationOptions } from './verification/admission.ts'
import { gatewayOf, verificationRoutes } from './verification/routes.ts'
import { webhookRoutes } from './webhooks/routes.ts'

/** The dependencies of all features. */
export type AppDeps = Deps &
  ReceiveContext & {
    signing: Signing
    /** The followers of the revocation feed. */
    tail: Tail
    staticSecret: StaticSecret | undefined
    /** Where GitHub publishes the keys that sign its alerts. */
    githubKeysUrl?: string
    /**
     * Aborted when the process is about to end: it reports that it is not ready, and closes connections after responses.
     */
    draining: AbortSignal
  }

/** How many requests may be in progress at a time. */
export type Limits = {
  introspection: number
  management: number
  streams: number
  alerts: number
  events: number
}

export type AppOptions = Omit<AppDeps, 'draining'> & {
  log: FastifyBaseLogger
  trustProxy: string[]
  corsOrigins: string[]
  verification?: VerificationOptions
  measuring: Measuring
  failureLimit?: FailureLimit
  /** The command that makes all management requests, with `inject`. Undefined: callers present credentials. */
  command?: string
  /** Whether to serve the console, and the sessions that it needs. */
  console?: boolean
  limits?: Partial<Limits>
  /** Never aborted by default. */
  draining?: AbortSignal
}

const usualLimits: Limits = { introspection: 2000, management: 400, streams: 400, alerts: 20, events: 100 }
const bodyLimit = 64 * 1024
const methods = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE']
const exposedHeaders = [
  'etag',
  'link',
  'location',
  'www-authenticate',
  'x-request-id',
  'idempotency-replayed',
]

/** The table of contents: every plugin and feature, in the order in which a request meets them. */
export async function buildApp({
  log,
  trustProxy,
  corsOrigins,
  verification = { fields: [], trustedNetworks: [] },
  measuring,
  limits,
  failureLimit = { limit: 0, windowSeconds: 60 },
  command,
  console = true,
  draining = new AbortController().signal,
  ...given
}: AppOptions): Promise<FastifyInstance> {
  const deps: AppDeps = { ...given, draining }
  const most = { ...usualLimits, ...limits }
  const durations = new Durations(measuring.registry)
  const count = measureIntrospection(measuring.registry, deps)
  const introspections = limitTo(most.introspection)
  const answered = durations.of('POST', '/introspect', 200)
  const left = durations.of('POST', '/introspect', clientLeft)
  const direct = {
    ...deps,
    slots: introspections,
    addressOf: addressBehind(trustProxy),
    answered(active, startedAt) {
      count(active)
      durations.measure(answered, performance.now() - startedAt)
    },
    left(startedAt) {
      durations.measure(left, performance.now() - startedAt)
    },
  } satisfies FastPathOptions
  const app: FastifyInstance = Fastify({
    // The fast path logs nothing, so it is not used if every request is logged.
    serverFactory: serverWith(
      (ordinarily) => (isVerbose(log) ? ordinarily : introspectionFastPath(direct, ordinarily)),
      (reason, request, response) => answerUnserved(app, reason, request, response),
    ),
    loggerInstance: log,
    logController: new LogController({ disableRequestLogging: true }),
    trustProxy: trustProxy.length > 0 ? trustIn(trustProxy) : false,
    // Never the caller's own request id, since request ids are logged and stored.
    genReqId: () => randomUUID(),
    bodyLimit,
    // Keeps callers from holding connections open by sending a byte now and then.
    requestTimeout: 60_000,
    schemaController,
    routerOptions,
    clientErrorHandler: (error, socket) => {
      if (!isSlowBody(error, socket)) answerClientError(app, error, socket)
    },
    frameworkErrors: answerUndecodable,
    // Requests that arrive on open connections during shutdown are served normally.
    return503OnClosing: false,
    forceCloseConnections: 'idle',
  })

  app.decorate('basePath', basePathOf(deps.issuer))
  app.removeContentTypeParser(['text/plain', 'application/json'])
  addJsonParser(app)
  checkBodies(app)
  app.setErrorHandler(sendProblem)
  app.setChildLoggerFactory((parent) => parent)
  app.addHook('onSend', (request, reply, _payload, done) => {
    reply.header('x-request-id', request.id)
    done()
  })
  app.decorate('failedCredentials', createFailedCredentials(measuring.registry, log, failureLimit))
  closeAnswered(app, draining)
  logRequests(app)
  nameRequests(app)

  const cookie = console ? sessionCookie(deps.issuer) : undefined
  const provider = createProvider(deps)
  if (corsOrigins.length > 0) await app.register(cors, { origin: corsOrigins, methods, exposedHeaders })
  await openapi(app)
  await app.register(async (site) => {
    site.addHook('onRequest', addSecurityHeaders)
    await docs(site)
    if (cookie) await site.register(consoleRoutes, { cookie })
    else site.get('/', { schema: { hide: true } }, async (_request, reply) => reply.redirect('docs/', 303))
  })

  const rejectOtherMethods = noteMethods(app)
  metrics(app, measuring, { durations, db: deps.db })
  for (const shape of [schemas.Problem, schemas.Actor, schemas.ScopeDetail]) app.addSchema(shape)

  // Without the browser headers, which are useless here and cost time.
  await app.register(async (protocol) => {
    limitRequests(protocol, introspections)
    await protocol.register(introspectionRoutes, { ...deps, count })
  })
  await app.register(async (gateways) => {
    limitRequests(gateways, limitTo(most.introspection), gatewayOf)
    await gateways.register(verificationRoutes, { ...deps, registry: measuring.registry, verification })
  })
  await app.register(async (site) => {
    site.addHook('onRequest', addSecurityHeaders)
    site.addHook('onRequest', rejectOtherMethods)
    site.addHook('preHandler', lowerCaseIds)
    site.setNotFoundHandler(sendNotFound)
    site.get('/openapi.json', { schema: { hide: true } }, async () => app.swagger())
    await site.register(healthRoutes, deps)
    await site.register(problemTypeRoutes)
    await site.register(discoveryRoutes, deps)
    await site.register(statusListRoutes, deps)
    await site.register(async (alerts) => {
      limitRequests(alerts, limitTo(most.alerts))
      await alerts.register(githubLeakRoutes, deps)
    })
    if (cookie)
      await site.register(
        async (scope) => {
          limitRequests(scope, limitTo(most.management))
          await scope.register(signInLinkRoutes, { ...deps, cookie })
          await scope.register(openidRoutes, { ...deps, cookie, provider })
        },
        { prefix: '/console' },
      )
    const api = (
      prefix: string,
      requests: number,
      authenticating: onRequestHookHandler | undefined,
      features: FastifyPluginAsync<AppDeps>[],
    ) =>
      site.register(
        async (scope) => {
          limitRequests(scope, limitTo(requests))
          if (authenticating) {
            scope.addHook('onRequest', authenticating)
            scope.addHook('preValidation', readEmptyMembers)
            scope.addHook('preHandler', rejectUnsafeText)
          }
          scope.addHook('onSend', async (request, reply) => {
            reply.header('cache-control', 'no-store')
            // A change that was acknowledged is visible to every later request here, from any caller.
            const waits = request.method !== 'GET' && !request.routeOptions.config.forgets
            if (waits) await deps.credentials.settled()
          })
          for (const feature of features) await scope.register(feature, deps)
        },
        { prefix },
      )
    const tokensAndUsers = authenticateUsers(deps, createSignIn(deps))
    const allCallers = cookie
      ? authenticateSessions({ ...deps, recheck: createRecheck(deps.db, provider) }, cookie, tokensAndUsers)
      : tokensAndUsers
    await api('/v1', most.management, command ? authenticateCommand(command, deps.now) : allCallers, [
      tokenRoutes,
      importRoutes,
      clientKeyRoutes,
      tokenTypeRoutes,
      organizationRoutes,
      ownerRoutes,
      policyRoutes,
      issuerRoutes,
      signalRoutes,
      signingKeyRoutes,
      auditRoutes,
      transparencyLogRoutes,
      leakRoutes,
      revocationRoutes,
      webhookRoutes,
      async (scope) => void (cookie && (await scope.register(sessionRoutes, { ...deps, cookie }))),
    ])
    // Streams are long-lived, so they are limited separately; they may outlast a user's sign-in.
    await api('/v1', most.streams, authenticate(deps), [revocationStreamRoutes])
    // Limited separately, so that a directory that sends all of its users does not hold up administrators.
    await api('/scim/v2', most.management, authenticate(deps), [scimRoutes])
    // Their bodies are tokens of issuers, which authenticate themselves.
    await api('/ssf', most.events, undefined, [securityEventRoutes])
  })
  return app
}
