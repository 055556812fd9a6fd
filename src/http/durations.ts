import { Histogram, type Registry } from 'prom-client'

const bounds = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5]
const labelNames = ['method', 'route', 'status'] as const

declare module 'prom-client' {
  interface Histogram<T extends string> {
    /** Both `/metrics` and `get` use this method. */
    getForPromString(): ReturnType<Histogram<T>['get']>
  }
}

type Labels = { method: string; route: string; status: number }
export type Series = { labels: Labels; counts: number[]; sum: number }

/**
 * Request durations by route and status. Does its own counting: prom-client formats the labels and the bucket's bound
 * with every observation, which costs more than hashing a token.
 */
export class Durations extends Histogram<(typeof labelNames)[number]> {
  readonly #series = new Map<string, Series>()

  constructor(registry: Registry) {
    super({
      name: 'http_request_duration_seconds',
      help: 'From the first byte of the request to the last of the response',
      labelNames,
      buckets: bounds,
      registers: [registry],
    })
  }

  of(method: string, route: string, status: number): Series {
    const key = `${status} ${method} ${route}`
    const known = this.#series.get(key)
    if (known) return known
    const series = { labels: { method, route, status }, counts: [0, ...bounds].fill(0), sum: 0 }
    this.#series.set(key, series)
    return series
  }

  measure(series: Series, ms: number): void {
    const seconds = ms / 1000
    let bucket = 0
    while (seconds > (bounds[bucket] ?? Number.POSITIVE_INFINITY)) bucket += 1
    series.counts[bucket] = (series.counts[bucket] ?? 0) + 1
    series.sum += seconds
  }

  override async getForPromString() {
    const metric = await super.getForPromString()
    const values = [...this.#series.values()].flatMap((series) => valuesOf(metric.name, series))
    return { ...metric, values }
  }
}

const none = { sharedLabels: {} }

function valuesOf(name: string, { labels, counts, sum }: Series) {
  let value = 0
  const buckets = counts.map((count, index) => {
    value += count
    return {
      metricName: `${name}_bucket`,
      labels: { le: bounds[index] ?? '+Inf', ...labels },
      value,
      ...none,
    }
  })
  return [
    ...buckets,
    { metricName: `${name}_sum`, labels, value: sum, ...none },
    { metricName: `${name}_count`, labels, value, ...none },
  ]
}
