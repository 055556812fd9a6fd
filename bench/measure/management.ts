import type { Generator } from '../load/load.ts'
import type { Plan } from '../options.ts'
import type { Seeded } from '../seed.ts'
import type { Target } from '../targets/targets.ts'
import { loadOf, perSecond } from './throughput.ts'
import { createToken, listTokens, revokeToken } from './tokens.ts'

/** Operations per second next to cached introspections per second. */
export async function measureManagement(target: Target, seeded: Seeded, generator: Generator, plan: Plan) {
  const ids: string[] = []
  const { port } = target
  const create = await rate(plan.onceSeconds, async () => {
    ids.push((await createToken(port, seeded)).id)
  })
  const list = await rate(plan.onceSeconds, () => listTokens(port, seeded))
  const revoke = await rate(plan.onceSeconds, async () => {
    const id = ids.pop() ?? (await createToken(port, seeded)).id
    await revokeToken(port, seeded, id)
  })
  await generator.run(loadOf(target, plan, plan.warmupSeconds))
  const introspect = perSecond(await generator.run(loadOf(target, plan, plan.onceSeconds)))
  return { create: create / introspect, list: list / introspect, revoke: revoke / introspect }
}

const workers = 16

/** Operations per second, several at a time. */
export async function rate(seconds: number, operation: () => Promise<void>): Promise<number> {
  const start = performance.now()
  const end = start + seconds * 1000
  let done = 0
  const work = async () => {
    while (performance.now() < end) {
      await operation()
      done++
    }
  }
  await Promise.all(Array.from({ length: workers }, work))
  return done / ((performance.now() - start) / 1000)
}
