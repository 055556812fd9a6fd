import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { cores, pinned } from '../cores.ts'
import { type Load, type Tally, WrongAnswers } from './load.ts'
import { headOf } from './questions.ts'

/**
 * Loads a target with wrk, one thread with keep-alive connections, so that the speeds are those of an independent load
 * generator. wrk counts responses other than 2xx as wrong; only generator.ts checks which tokens are active.
 */
export async function runWrk(load: Load): Promise<Pick<Tally, 'answers' | 'seconds'>> {
  const { port, ask, population, connections, seconds } = load
  const script = join(import.meta.dirname, 'wrk.lua')
  const url = `http://127.0.0.1:${port}${ask.path}`
  const [command, args] = pinned(cores.generator, 'wrk', [
    ...['--threads', '1', '--connections', String(connections), '--duration', `${seconds}s`],
    ...['--script', script, url],
  ])
  const env = {
    PATH: process.env.PATH,
    GOOD: population.good,
    BAD: population.bad,
    LENGTH: String(population.length),
    BEFORE: headOf(load),
    AFTER: ask.afterToken,
  }
  const { stdout } = await promisify(execFile)(command, args, { env })
  const tally = JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as Tally
  if (tally.wrong > 0) throw new WrongAnswers(load, tally)
  return tally
}

/** Throws an error that explains how to install wrk if it is missing. */
export async function requireWrk(): Promise<void> {
  await promisify(execFile)('wrk', ['--version']).catch(({ code }) => {
    // wrk exits with 1 after it has printed its version.
    if (code === 'ENOENT')
      throw new Error('wrk is missing: install it (apt-get install wrk, brew install wrk)')
  })
}
