import type { SigningKey } from '../db/tables.ts'

export const keyStates = ['upcoming', 'active', 'retiring', 'retired'] as const
export type KeyState = (typeof keyStates)[number]

/** Derived only from stored instants, so that all instances agree without communicating. */
export function stateOf(
  { activatesAt, retiresAt, retiredAt }: Pick<SigningKey, 'activatesAt' | 'retiresAt' | 'retiredAt'>,
  now: Date,
): KeyState {
  if (retiredAt) return 'retired'
  if (retiresAt && retiresAt <= now) return 'retiring'
  return activatesAt > now ? 'upcoming' : 'active'
}
