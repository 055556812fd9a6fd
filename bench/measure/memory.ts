import { execFileSync } from 'node:child_process'
import { setTimeout as delay } from 'node:timers/promises'
import type { Generator } from '../load/load.ts'
import type { Plan } from '../options.ts'
import type { Target } from '../targets/targets.ts'
import { loadOf } from './throughput.ts'

/** Resident memory of the server in MiB with a full cache, while it answers from it under load. */
export async function measureMemory(target: Target & { pid: number }, generator: Generator, plan: Plan) {
  const before = residentMiB(target.pid)
  const load = { ...loadOf(target, plan, 60), firstTokens: plan.bigCache }
  const { answers } = await generator.run({ ...load, eachOnce: true })
  const traffic = generator.run({ ...load, seconds: plan.onceSeconds })
  let peak = 0
  for (let i = 0; i < plan.onceSeconds * 10; i++) {
    peak = Math.max(peak, residentMiB(target.pid))
    await delay(100)
  }
  await traffic
  return { before, peak, bytesPerToken: ((peak - before) * 1024 * 1024) / answers, tokens: answers }
}

export function residentMiB(pid: number): number {
  return Number(execFileSync('ps', ['-o', 'rss=', '-p', String(pid)], { encoding: 'utf8' })) / 1024
}
