import type { Generator } from '../load/load.ts'
import type { Plan } from '../options.ts'
import type { IssuedToken } from '../seed.ts'
import type { Target } from '../targets/targets.ts'
import { loadOf } from './throughput.ts'

const workers = 8
const loadConnections = 8

/** Runs an action for one token after another, eight at a time, while both targets are under load. */
export async function underLoad(
  targets: [Target, Target],
  generators: readonly [Generator, Generator],
  plan: Plan,
  tokens: IssuedToken[],
  work: (token: IssuedToken) => Promise<void>,
): Promise<void> {
  const load = { seconds: 600, connections: loadConnections }
  const background = generators.map((generator, i) =>
    generator.run({ ...loadOf(targets[i as 0 | 1], plan, 0), ...load }),
  )
  const left = [...tokens]
  const worker = async () => {
    for (let token = left.pop(); token; token = left.pop()) await work(token)
  }
  try {
    await Promise.race([Promise.all(Array.from({ length: workers }, worker)), Promise.all(background)])
  } finally {
    left.length = 0
    for (const generator of generators) generator.stop()
    await Promise.allSettled(background)
  }
  await Promise.all(background)
}
