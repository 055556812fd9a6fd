import { Histogram, type Registry } from 'prom-client'

const buckets = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5]

/** Measures the statements that look up secrets, and the delay of change notifications. */
export function measureCredentials(registry: Registry): {
  onLookup(ms: number): void
  onBeat(ms: number): void
} {
  const registers = [registry]
  const lookups = new Histogram({
    name: 'counterfoil_lookup_duration_seconds',
    help: 'Statements that looked up secrets in the database, each for up to 16 secrets',
    buckets,
    registers,
  })
  // Measured with beats instead of changes, because a duration between the clocks of two machines would include their
  // difference.
  const lags = new Histogram({
    name: 'counterfoil_revocation_lag_seconds',
    help: 'From sending a beat until its notification arrived; revocations arrive in the same way, in the order of their commits',
    buckets,
    registers,
  })
  return {
    onLookup: (ms) => lookups.observe(ms / 1000),
    onBeat: (ms) => lags.observe(ms / 1000),
  }
}
