import { platformPolicy } from '../policy/effective.ts'
import type { Policy } from '../shared/policy.ts'

export const expiryStates = ['never', 'ok', 'warning', 'imminent', 'expired'] as const

/** A token's remaining lifetime for user interfaces; null if it never expires. */
export type Expiry = {
  state: (typeof expiryStates)[number]
  secondsLeft: number | null
  /** Rounded up: 90 until a token of 90 days has less than 89 left, 1 on its last day, 0 once it has expired. */
  daysLeft: number | null
}

type Thresholds = Policy['expiry_warning']

const hour = 60 * 60
const day = 24 * hour

/** `own` are the thresholds that the organization sets itself. */
export function expiryOf(expiresAt: Date | null, own: Partial<Thresholds> | null, now: Date): Expiry {
  if (expiresAt === null) return { state: 'never', secondsLeft: null, daysLeft: null }
  const left = Math.max(0, (expiresAt.getTime() - now.getTime()) / 1000)
  const secondsLeft = Math.floor(left)
  const thresholds = { ...platformPolicy.expiry_warning, ...own }
  return { state: stateOf(left, thresholds), secondsLeft, daysLeft: Math.ceil(left / day) }
}

function stateOf(left: number, { warning_days, imminent_hours }: Thresholds): Expiry['state'] {
  if (left === 0) return 'expired'
  if (left < imminent_hours * hour) return 'imminent'
  if (left < warning_days * day) return 'warning'
  return 'ok'
}
