import { cpuSeconds } from '../cpu.ts'
import type { Server } from '../database.ts'
import type { Plan } from '../options.ts'
import type { Seeded } from '../seed.ts'
import type { Target } from '../targets/targets.ts'
import { ratio } from './throughput.ts'
import { createToken, rotateToken } from './tokens.ts'

const tokensAtATime = 400
const workers = 16

type Cost = { seconds: number; cpu: number }

/** The time of a rotation compared with that of a create: in each round tokens are created and then rotated. */
export async function measureRotation(
  { port, pid }: Target & { pid: number },
  { seeded, server }: { seeded: Seeded; server: Server },
  { rounds }: Plan,
) {
  const cpu = () => (cpuSeconds(pid) ?? Number.NaN) + (server.cpuSeconds() ?? Number.NaN)
  const creates: Cost[] = []
  const rotations: Cost[] = []
  // The first round warms up.
  for (let round = 0; round <= rounds; round++) {
    const ids: string[] = []
    const create = await costOf(cpu, async () => {
      ids.push((await createToken(port, seeded)).id)
    })
    const rotation = await costOf(cpu, () => rotateToken(port, seeded, ids.pop() as string))
    if (round > 0) {
      creates.push(create)
      rotations.push(rotation)
    }
  }
  const compare = (what: keyof Cost) =>
    ratio(
      rotations.map((cost) => cost[what]),
      creates.map((cost) => cost[what]),
    )
  return { seconds: compare('seconds'), cpu: compare('cpu') }
}

async function costOf(cpu: () => number, operation: () => Promise<void>): Promise<Cost> {
  const start = performance.now()
  const cpuBefore = cpu()
  let left = tokensAtATime
  const work = async () => {
    while (left-- > 0) await operation()
  }
  await Promise.all(Array.from({ length: workers }, work))
  return { seconds: (performance.now() - start) / 1000, cpu: cpu() - cpuBefore }
}
