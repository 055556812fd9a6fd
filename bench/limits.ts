import { cleanUp } from './cleanup.ts'
import { cores, pin } from './cores.ts'
import { WrongAnswers } from './load/load.ts'

/** However the run ends, and end it does, nothing of it stays. */
export async function withinLimits(run: () => Promise<void>): Promise<void> {
  const limitMinutes = 15
  let givenUp = false
  const giveUp = (why: string) => {
    if (givenUp) return
    givenUp = true
    console.error(`The benchmark ends early: ${why}.`)
    cleanUp().finally(() => process.exit(1))
  }
  const limit = setTimeout(giveUp, limitMinutes * 60_000, `it took more than ${limitMinutes} minutes`)
  // A terminal and npm may both send it: whatever comes second must not cut the cleaning up short.
  process.on('SIGINT', giveUp)
  process.on('SIGTERM', giveUp)
  process.on('uncaughtException', (error) => giveUp(error.message))
  pin(cores.generator, process.pid)
  try {
    await run()
  } catch (error) {
    // What breaks because of that is no news.
    if (!givenUp) console.error(error instanceof WrongAnswers ? error.message : error)
    process.exitCode = 1
  } finally {
    clearTimeout(limit)
    await cleanUp()
  }
}
