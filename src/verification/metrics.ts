import { Counter, type Registry } from 'prom-client'
import type { ErrorCode } from '../errors.ts'

const outcomes = ['allowed', 'refused', 'insufficient_scope', 'gateway_refused', 'failed'] as const
type Outcome = (typeof outcomes)[number]

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

/** What an error comes to; until the gateway is known it is the gateway that is refused. */
export function outcomeOf(code: ErrorCode, gatewayIsKnown: boolean): Outcome {
  if (code === 'ambiguous_credentials') return 'refused'
  if (code === 'too_many_requests') return 'gateway_refused'
  if (code !== 'unauthenticated' && code !== 'invalid_token' && code !== 'insufficient_scope') return 'failed'
  if (!gatewayIsKnown) return 'gateway_refused'
  return code === 'insufficient_scope' ? code : 'refused'
}
