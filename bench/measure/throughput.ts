import { watchServerCore } from '../cores.ts'
import type { Generator, Load, Tally } from '../load/load.ts'
import type { Plan } from '../options.ts'
import type { Target } from '../targets/targets.ts'

/** Of one target: responses per second in each round, and the least utilization of the server's core. */
export type Speed = { rounds: number[]; busy: number | undefined }

/** At most; a cache that is not full by then fills up during the first rounds. */
const fillSeconds = 20

/** Measures the targets in rotation, so that temporary disturbances affect all of them alike. */
export async function rotate(
  generator: Generator,
  targets: Map<string, Target>,
  plan: Plan,
): Promise<Map<string, Speed>> {
  const speeds = new Map<string, Speed>()
  for (const target of targets.values()) {
    if (target.warm === undefined) continue
    const load = loadOf(target, plan, fillSeconds)
    await generator.run({ ...load, firstTokens: target.warm, eachOnce: true })
  }
  for (let round = 0; round < plan.rounds; round++) {
    for (const [key, target] of targets) {
      const speed = speeds.get(key) ?? { rounds: [], busy: undefined }
      speeds.set(key, speed)
      await generator.run(loadOf(target, plan, plan.warmupSeconds))
      const busy = watchServerCore()
      speed.rounds.push(perSecond(await generator.run(loadOf(target, plan, plan.seconds))))
      speed.busy = Math.min(speed.busy ?? 1, busy() ?? 1)
    }
  }
  return speeds
}

export function loadOf({ port, ask, population }: Target, plan: Plan, seconds: number): Load {
  return { port, ask, population, connections: plan.connections, seconds }
}

export function perSecond({ answers, seconds }: Tally): number {
  return answers / seconds
}

/** The median, least and greatest of the ratios within each round. */
export function ratio(of: number[], to: number[]): { median: number; least: number; greatest: number } {
  const ratios = of.map((value, round) => value / (to[round] ?? Number.NaN)).sort((a, b) => a - b)
  return { median: median(ratios), least: ratios[0] ?? Number.NaN, greatest: ratios.at(-1) ?? Number.NaN }
}

export function median(values: number[]): number {
  return percentile(values, 0.5)
}

/** The smallest value that at least this share of the values does not exceed. */
export function percentile(values: number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN
}
