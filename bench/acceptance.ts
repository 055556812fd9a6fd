/** The acceptance criteria of the hot path, documented in docs/performance.md. */
export const acceptance = {
  cachedToFastify: { 32: { atLeast: 0.95 }, 128: { atLeast: 0.95 } },
  cacheOffToSelect: { 32: { atLeast: 1.3 }, 128: { atLeast: 2.0 } },
  cachedToBetterAuth: { atLeast: 25 },
  manyTokensToCached: { atLeast: 0.6 },
  churnToQuiet: { atLeast: 0.8 },
  importMs: { atMost: 300_000 },
  memoryMiB: { atMost: 200 },
  lagP99Ms: { atMost: 100 },
  lagMaxMs: { atMost: 2_000 },
  cutMs: { atMost: 2_000 },
  acceptedAfterRevocation: { atMost: 0 },
  clientLagP99Ms: { atMost: 100 },
  clientLagMaxMs: { atMost: 2_000 },
  clientAcceptedLate: { atMost: 0 },
} as const

export type Bound = { atLeast: number } | { atMost: number }

export function holds(value: number, bound: Bound): boolean {
  return 'atLeast' in bound ? value >= bound.atLeast : value <= bound.atMost
}
