import cors from '@fastify/cors'
import helmet from '@fastify/helmet'
import Fastify, { type FastifyBaseLogger, type FastifyInstance, LogController } from 'fastify'
import { v7 as uuid } from 'uuid'
import { auditRoutes } from './audit/routes.ts'
import type { Deps } from './deps.ts'
import { discoveryRoutes } from './discovery/routes.ts'
import { authenticate } from './http/authenticate.ts'
import { healthRoutes } from './http/health.ts'
import { logRequests } from './http/log.ts'
import { noteMethods } from './http/methods.ts'
import { metrics } from './http/metrics.ts'
import { openapi } from './http/openapi.ts'
import { answerClientError, sendNotFound, sendProblem } from './http/problem.ts'
import { problemTypeRoutes } from './http/problem-types.ts'
import * as schemas from './http/schemas.ts'
import { refuseUnfitText } from './http/text.ts'
import { schemaController } from './http/validation.ts'
import { introspectionRoutes } from './introspection/routes.ts'
import { signingKeyRoutes } from './keys/routes.ts'
import { organizationRoutes } from './organizations/routes.ts'
import { policyRoutes } from './policy/routes.ts'
import { tokenTypeRoutes } from './token-types/routes.ts'
import { tokenRoutes } from './tokens/routes.ts'

export type AppOptions = Deps & { log: FastifyBaseLogger; trustProxy: string[]; corsOrigins: string[] }

const bodyLimit = 64 * 1024
const apiPolicy = { defaultSrc: ["'none'"], frameAncestors: ["'none'"] }
const methods = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE']
const exposedHeaders = ['etag', 'link', 'location', 'www-authenticate', 'x-request-id']

/** The table of contents: every plugin and every feature, in the order in which a request meets them. */
export async function buildApp({
  log,
  trustProxy,
  corsOrigins,
  ...deps
}: AppOptions): Promise<FastifyInstance> {
  const app = Fastify({
    loggerInstance: log,
    logController: new LogController({ disableRequestLogging: true }),
    trustProxy: trustProxy.length > 0 ? trustProxy : false,
    // Never the caller's: a request id is logged and stored.
    genReqId: () => uuid(),
    bodyLimit,
    // The subject of an owner stands in paths, percent-encoded.
    routerOptions: { maxParamLength: 1000 },
    schemaController,
    clientErrorHandler: answerClientError,
    // A request that comes in on an open connection while we close is served like any other.
    return503OnClosing: false,
    forceCloseConnections: 'idle',
  })

  app.setErrorHandler(sendProblem)
  app.setNotFoundHandler(sendNotFound)
  app.addHook('onSend', async (request, reply) => void reply.header('x-request-id', request.id))
  logRequests(app)

  // Nothing but /docs, which brings a policy of its own, is there to be rendered.
  await app.register(helmet, { contentSecurityPolicy: { useDefaults: false, directives: apiPolicy } })
  if (corsOrigins.length > 0) await app.register(cors, { origin: corsOrigins, methods, exposedHeaders })
  await openapi(app)
  const answerOtherMethods = noteMethods(app)
  app.get('/openapi.json', { schema: { hide: true } }, async () => app.swagger())

  for (const shape of [schemas.Problem, schemas.Actor]) app.addSchema(shape)

  metrics(app)
  await app.register(healthRoutes, deps)
  await app.register(problemTypeRoutes)
  await app.register(discoveryRoutes, deps)
  await app.register(introspectionRoutes, deps)
  await app.register(
    async (v1) => {
      v1.addHook('onRequest', authenticate(deps))
      v1.addHook('preHandler', refuseUnfitText)
      v1.addHook('onSend', async (_request, reply) => void reply.header('cache-control', 'no-store'))
      await v1.register(tokenRoutes, deps)
      await v1.register(tokenTypeRoutes, deps)
      await v1.register(organizationRoutes, deps)
      await v1.register(policyRoutes, deps)
      await v1.register(signingKeyRoutes, deps)
      await v1.register(auditRoutes, deps)
    },
    { prefix: '/v1' },
  )
  answerOtherMethods()
  return app
}
