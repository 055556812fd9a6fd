import type { FastifyPluginAsync, onRequestAsyncHookHandler } from 'fastify'
import fastifyPlugin from 'fastify-plugin'
import { admit, checkDemand } from './bearer.ts'
import type { Introspection } from './introspection.ts'
import { createVerifier, type Demand, type Verifier, type VerifierOptions } from './verifier.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** An onRequest or preHandler hook that admits requests whose token meets the conditions. */
    authenticate(demand?: Demand): onRequestAsyncHookHandler
  }
  interface FastifyRequest {
    /** The introspection of the request's token, set by `authenticate`. */
    introspection: Introspection | null
  }
}

/** Options for a new verifier, or an existing one, which the plugin does not close. */
export type FastifyOptions = VerifierOptions | { verifier: Verifier }

const plugin: FastifyPluginAsync<FastifyOptions> = async (app, options) => {
  const verifier = 'verifier' in options ? options.verifier : createVerifier(options)
  if (!('verifier' in options)) app.addHook('onClose', async () => verifier.close())
  app.decorateRequest('introspection', null)
  app.decorate('authenticate', (demand: Demand = {}) => {
    checkDemand(demand)
    return async (request, reply) => {
      const { rawHeaders, url } = request.raw
      const admission = await admit(verifier, { rawHeaders, url }, demand)
      if ('token' in admission) request.introspection = admission.token
      else {
        const { status, headers, body } = admission.refusal
        await reply.code(status).headers(headers).send(body)
      }
    }
  })
}

export default fastifyPlugin(plugin, { name: 'counterfoil', fastify: '5.x' })
