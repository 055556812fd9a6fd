import { setTimeout as delay } from 'node:timers/promises'
import type { Fixtures } from '../fixtures.ts'
import type { Generator } from '../load/load.ts'
import type { Seeded } from '../seed.ts'
import type { Target } from '../targets/targets.ts'
import { loadOf, perSecond, ratio } from './throughput.ts'
import { createToken, revokeToken } from './tokens.ts'

const perSecondEach = 200
const warmupSeconds = 5
const everyMs = 20
/** Under introspection load a change takes some tenths of a second; none completes or is late in this time. */
const underwaySeconds = 1
/** Half of the service's limit: if the service cannot keep up, requests are sent more slowly rather than rejected. */
const maxAtOnce = 100

/**
 * Compares introspection while tokens are created and revoked at a steady rate with introspection alone, in
 * alternation.
 */
export async function measureChurn(
  target: Target,
  { small: { seeded }, server, plan }: Fixtures,
  generator: Generator,
) {
  const quiet: number[] = []
  const busy: number[] = []
  let changed = 0
  let seconds = 0
  // Changes run more code than introspection, which has to be warmed up.
  const warmup = startChanges(target.port, seeded)
  await delay(warmupSeconds * 1000)
  await warmup.stop()
  for (let round = 0; round < plan.rounds; round++) {
    // Its work here is not part of the measured requests; on a core of its own it would not slow them down.
    await server.putBehindGenerator()
    await generator.run(loadOf(target, plan, plan.warmupSeconds))
    quiet.push(perSecond(await generator.run(loadOf(target, plan, plan.seconds))))
    const changes = startChanges(target.port, seeded)
    try {
      await generator.run(loadOf(target, plan, underwaySeconds))
      const before = changes.done()
      const tally = await generator.run(loadOf(target, plan, plan.seconds))
      busy.push(perSecond(tally))
      changed += changes.done() - before
      seconds += tally.seconds
    } finally {
      await changes.stop()
    }
  }
  return { ...ratio(busy, quiet), achieved: changed / seconds / perSecondEach }
}

/** Catches up after delays, so that the average rate is kept. Each step also revokes an earlier token. */
function startChanges(port: number, seeded: Seeded) {
  const start = performance.now()
  const revocable: string[] = []
  const open = new Set<Promise<void>>()
  let begun = 0
  let done = 0
  let failure: unknown
  const change = async () => {
    revocable.push((await createToken(port, seeded)).id)
    const id = revocable.shift()
    if (id) await revokeToken(port, seeded, id)
    done++
  }
  const timer = setInterval(() => {
    for (
      const due = ((performance.now() - start) / 1000) * perSecondEach;
      begun < due && open.size < maxAtOnce;
      begun++
    ) {
      const one = change().catch((error) => {
        failure = error
      })
      open.add(one)
      one.then(() => open.delete(one))
    }
  }, everyMs)
  return {
    done: () => done,
    async stop() {
      clearInterval(timer)
      await Promise.all(open)
      if (failure) throw failure
    },
  }
}
