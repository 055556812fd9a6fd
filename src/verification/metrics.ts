import { Counter, type Registry } from 'prom-client'

const outcomes = ['allowed', 'refused', 'insufficient_scope', 'gateway_refused', 'failed'] as const
export type Outcome = (typeof outcomes)[number]

/** Counts what gateways were told; what could not be decided, or was asked wrongly, has failed. */
export function measureVerification(registry: Registry): (outcome: Outcome) => void {
  const counter = new Counter({
    name: 'counterfoil_verifications_total',
    help: 'Answers to gateways, by outcome',
    labelNames: ['outcome'],
    registers: [registry],
  })
  const series = new Map(outcomes.map((outcome) => [outcome, counter.labels({ outcome })]))
  return (outcome) => series.get(outcome)?.inc()
}
