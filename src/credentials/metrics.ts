import { Histogram, type Registry } from 'prom-client'

/** Measures the statements that look up secrets. */
export function measureLookups(registry: Registry): (ms: number) => void {
  const durations = new Histogram({
    name: 'counterfoil_lookup_duration_seconds',
    help: 'Statements that looked up secrets in the database, each for up to 16 secrets',
    buckets: [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5],
    registers: [registry],
  })
  return (ms) => durations.observe(ms / 1000)
}
