import { PassThrough } from 'node:stream'
import { text } from 'node:stream/consumers'
import { explainExit } from '../../src/exit.ts'
import type { Failure } from '../../src/exit-codes.ts'
import { runCommand } from '../../src/main.ts'
import { createShutdown } from '../../src/shutdown.ts'
import { recordLog } from './records.ts'

/** Runs a command in this process; resolves with what a process of its own would print and end with. */
export async function resultOf(
  args: string[],
  env: Record<string, string> = {},
): Promise<{ code: number; output: string }> {
  const stream = new PassThrough()
  const printed = text(stream)
  const ended = await runHere(args, env, stream).catch(explainExit)
  stream.end(typeof ended === 'number' ? '' : `counterfoil: ${ended.message}\n`)
  const output = await printed
  recordLog(output)
  return { code: typeof ended === 'number' ? ended : ended.code, output }
}

/** Runs a command that fails in this process; resolves with what a process of its own would print and end with. */
export async function failureOf(args: string[], env: Record<string, string> = {}): Promise<Failure> {
  const error = await runHere(args, env, new PassThrough().resume()).then(
    () => new Error('the command did not fail'),
    (error) => error,
  )
  return explainExit(error)
}

function runHere(args: string[], env: Record<string, string>, output: PassThrough): Promise<number> {
  return runCommand(args, { env: { LOG_LEVEL: 'fatal', ...env }, shutdown: createShutdown(), output })
}
