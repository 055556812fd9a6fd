import type { FastifyInstance } from 'fastify'
import { collectDefaultMetrics, Histogram, Registry } from 'prom-client'
import { problems } from './schemas.ts'

export type Measuring = {
  registry: Registry
  /** What `/metrics` shows: the registry, or the sum over several processes. */
  render(): Promise<string>
}

export function measureAlone(): Measuring {
  const registry = new Registry()
  return { registry, render: () => registry.metrics() }
}

/** Measures every request by route and status, and serves `/metrics` in the Prometheus text format. */
export function metrics(app: FastifyInstance, { registry, render }: Measuring): void {
  collectDefaultMetrics({ register: registry })
  const duration = new Histogram({
    name: 'http_request_duration_seconds',
    help: 'From the first byte of the request to the last of the response',
    labelNames: ['method', 'route', 'status'],
    buckets: [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5],
    registers: [registry],
  })
  // Looking a series up by its labels costs more than all else here.
  const series = new Map<string, Histogram.Internal<'method' | 'route' | 'status'>>()
  app.addHook('onResponse', (request, reply, done) => {
    done()
    const { method, routeOptions } = request
    const route = routeOptions.url ?? 'none'
    const key = `${reply.statusCode} ${method} ${route}`
    let one = series.get(key)
    if (!one) {
      one = duration.labels({ method, route, status: reply.statusCode })
      series.set(key, one)
    }
    one.observe(reply.elapsedTime / 1000)
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
