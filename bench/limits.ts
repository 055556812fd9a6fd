import { cleanUp } from './cleanup.ts'
import { cores, pin } from './cores.ts'
import { WrongAnswers } from './load/load.ts'

/** Guarantees that the run ends, and that it leaves nothing behind. */
export async function withinLimits(run: () => Promise<void>, limitMinutes = 15): Promise<void> {
  let aborted = false
  const abort = (why: string) => {
    if (aborted) return
    aborted = true
    console.error(`The benchmark ends early: ${why}.`)
    cleanUp().finally(() => process.exit(1))
  }
  const limit = setTimeout(abort, limitMinutes * 60_000, `it took more than ${limitMinutes} minutes`)
  // A terminal and npm may both send it: the second must not cut the cleanup short.
  process.on('SIGINT', abort)
  process.on('SIGTERM', abort)
  process.on('uncaughtException', (error) => abort(error.message))
  pin(cores.generator, process.pid)
  try {
    await run()
  } catch (error) {
    // Errors that follow from giving up are not reported.
    if (!aborted) console.error(error instanceof WrongAnswers ? error.message : error)
    process.exitCode = 1
  } finally {
    clearTimeout(limit)
    await cleanUp()
  }
}
