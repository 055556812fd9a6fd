import type { FastifyInstance } from 'fastify'
import { collectDefaultMetrics, Gauge, Registry } from 'prom-client'
import { type Db, waitingForConnection } from '../db/database.ts'
import type { Durations } from './durations.ts'
import { atEnd, routeOf } from './log.ts'
import { problems } from './schemas.ts'

export type Measuring = {
  registry: Registry
  /** The text for `/metrics`: this process's registry, or the sum over several processes. */
  render(): Promise<string>
}

export function measureAlone(): Measuring {
  const registry = new Registry()
  return { registry, render: () => registry.metrics() }
}

/** Measures every request by route and status, and serves `/metrics` in the Prometheus text format. */
export function metrics(
  app: FastifyInstance,
  { registry, render }: Measuring,
  { durations, db }: { durations: Durations; db: Db },
): void {
  collectDefaultMetrics({ register: registry })
  new Gauge({
    name: 'counterfoil_pool_waiting',
    help: 'Statements and transactions that wait for a connection of the pool for management',
    registers: [registry],
    collect() {
      this.set(waitingForConnection(db))
    },
  })
  atEnd(app, (request, { elapsedTime }, status) => {
    durations.measure(durations.of(request.method, routeOf(request) ?? 'none', status), elapsedTime)
  })
  app.route({
    method: 'GET',
    url: '/metrics',
    schema: {
      operationId: 'metrics',
      summary: 'Metrics for Prometheus',
      tags: ['Operations'],
      security: [],
      response: {
        200: {
          description: 'Metrics in the text format',
          content: { 'text/plain': { schema: { type: 'string' } } },
        },
        ...problems(400),
      },
    },
    handler: async (_request, reply) => reply.type(registry.contentType).send(await render()),
  })
}
