import { explainExit } from '../../src/exit.ts'
import type { Failure } from '../../src/exit-codes.ts'
import { runCommand } from '../../src/main.ts'
import { createShutdown } from '../../src/shutdown.ts'

/** Runs a command that fails in this process; resolves with what a process of its own would print and end with. */
export async function failureOf(args: string[], env: Record<string, string> = {}): Promise<Failure> {
  const error = await runCommand(args, { LOG_LEVEL: 'fatal', ...env }, createShutdown()).then(
    () => new Error('the command did not fail'),
    (error) => error,
  )
  return explainExit(error)
}
