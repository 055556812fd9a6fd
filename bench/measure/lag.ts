import type { Generator } from '../load/load.ts'
import type { Plan } from '../options.ts'
import type { IssuedToken, Seeded } from '../seed.ts'
import type { Target } from '../targets/targets.ts'
import { percentile } from './throughput.ts'
import { isActive, revokeToken } from './tokens.ts'
import { underLoad } from './under-load.ts'

const limitMs = 120_000

export type Lag = {
  p50: number
  p99: number
  max: number
  revoked: number
  planned: number
  acceptedOnSame: number
}

/**
 * Revokes tokens on `one` while both are under load. Measures the time from the acknowledgement until `other` rejects
 * the token, and whether `one` still accepts it.
 */
export async function measureLag(
  [one, other]: [Target, Target],
  generators: readonly [Generator, Generator],
  seeded: Seeded,
  tokens: IssuedToken[],
  plan: Plan,
): Promise<Lag> {
  const lags: number[] = []
  let acceptedOnSame = 0
  const end = performance.now() + limitMs
  await underLoad([one, other], generators, plan, tokens, async ({ id, secret }) => {
    if (performance.now() >= end) return
    const known = [await isActive(one.port, seeded, secret), await isActive(other.port, seeded, secret)]
    if (!known.every(Boolean)) throw new Error('a token was not accepted before it was revoked')
    await revokeToken(one.port, seeded, id)
    const acknowledged = performance.now()
    const same = isActive(one.port, seeded, secret)
    lags.push(await untilRefused(other.port, seeded, secret, acknowledged))
    if (await same) acceptedOnSame++
  })
  return {
    p50: percentile(lags, 0.5),
    p99: percentile(lags, 0.99),
    max: percentile(lags, 1),
    revoked: lags.length,
    planned: tokens.length,
    acceptedOnSame,
  }
}

const timeoutMs = 30_000

/** Milliseconds until the first response that rejects the token, including its round trip. */
export async function untilRefused(
  port: number,
  seeded: Seeded,
  secret: string,
  since: number,
): Promise<number> {
  while (await isActive(port, seeded, secret)) {
    if (performance.now() - since > timeoutMs) return timeoutMs
  }
  return performance.now() - since
}
