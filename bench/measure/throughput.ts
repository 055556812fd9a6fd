import { watchServerCore } from '../cores.ts'
import type { Generator, Load, Tally } from '../load/load.ts'
import { requireWrk, runWrk } from '../load/wrk.ts'
import type { Plan } from '../options.ts'
import type { Target } from '../targets/targets.ts'

/**
 * Of one target with one number of connections: responses per second in each round, and the least utilization of the
 * server's core.
 */
export type Speed = { rounds: number[]; busy: number }

/** The speeds of each target by the number of connections. */
export type Speeds = Map<string, Map<number, Speed>>

/** The maximum; a cache that is not full by then fills up during the first rounds. */
const fillSeconds = 20

/** Measures the targets in rotation, so that temporary disturbances affect all of them alike. */
export async function rotate(
  generator: Generator,
  targets: Map<string, Target>,
  plan: Plan,
): Promise<Speeds> {
  await requireWrk()
  const speeds: Speeds = new Map()
  for (const [key, target] of targets) {
    const connections = target.connections ?? [plan.connections]
    speeds.set(key, new Map(connections.map((count) => [count, { rounds: [], busy: 1 }])))
    if (target.warm !== undefined)
      await generator.run({ ...loadOf(target, plan, fillSeconds), firstTokens: target.warm, eachOnce: true })
    // Also checks each answer, which wrk does not.
    await generator.run(loadOf(target, plan, plan.onceSeconds))
  }
  for (let round = 0; round < plan.rounds; round++) {
    for (const [key, target] of targets) {
      for (const [connections, speed] of speeds.get(key) ?? []) {
        const busy = watchServerCore()
        const load = { ...loadOf(target, plan, plan.wrkSeconds), connections }
        speed.rounds.push(perSecond(await runWrk(load)))
        speed.busy = Math.min(speed.busy, busy() ?? 1)
      }
    }
  }
  return speeds
}

export function loadOf({ port, ask, population }: Target, plan: Plan, seconds: number): Load {
  return { port, ask, population, connections: plan.connections, seconds }
}

export function perSecond({ answers, seconds }: Pick<Tally, 'answers' | 'seconds'>): number {
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
