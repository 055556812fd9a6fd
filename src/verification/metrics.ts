import { Counter, type Registry } from 'prom-client'
import type { ErrorCode } from '../shared/errors.ts'

const outcomes = ['allowed', 'refused', 'insufficient_scope', 'gateway_refused', 'failed'] as const
type Outcome = (typeof outcomes)[number]

/** Counts the outcomes of verification; requests that were invalid or could not be decided count as failed. */
export function measureVerification(registry: Registry): (outcome: Outcome) => void {
  const counter = new Counter({
    name: 'counterfoil_verifications_total',
    help: 'Responses to gateways, by outcome',
    labelNames: ['outcome'],
    registers: [registry],
  })
  const series = new Map(outcomes.map((outcome) => [outcome, counter.labels({ outcome })]))
  return (outcome) => series.get(outcome)?.inc()
}

/** The outcome for an error. Until the gateway is authenticated, the gateway caused it. */
export function outcomeOf(code: ErrorCode, gatewayIsKnown: boolean): Outcome {
  if (code === 'ambiguous_credentials') return 'refused'
  if (code === 'too_many_requests') return 'gateway_refused'
  if (code !== 'unauthenticated' && code !== 'invalid_token' && code !== 'insufficient_scope') return 'failed'
  if (!gatewayIsKnown) return 'gateway_refused'
  return code === 'insufficient_scope' ? code : 'refused'
}
