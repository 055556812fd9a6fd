import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { fileURLToPath } from 'node:url'
import type { Test } from 'tap'
import { recordLog } from './records.ts'

const entry = fileURLToPath(new URL('../../src/server.ts', import.meta.url))

export type Run = {
  child: ChildProcess
  output: () => string
  exit: Promise<{ code: number | null; signal: string | null }>
}

/** Runs the real command line, through the command `within`, with only this environment, PATH and the compile cache. */
export function run(t: Test, args: string[], given: Record<string, string> = {}, within: string[] = []): Run {
  const { PATH = '', HOME = '', NODE_COMPILE_CACHE = '' } = process.env
  const env = { PATH, HOME, NODE_COMPILE_CACHE, SHUTDOWN_GRACE_SECONDS: '0', ...given }
  const [command = '', ...rest] = [...within, process.execPath, entry, ...args]
  const child = spawn(command, rest, { env })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text
      recordLog(text)
    })
  }
  const exit = once(child, 'exit').then(([code, signal]) => ({ code, signal }))
  t.teardown(async () => {
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL')
    await exit
  })
  return { child, output: () => output, exit }
}

/** Resolves once the output contains `text`; rejects if the process ends before. */
export async function said({ child, output, exit }: Run, text: string): Promise<void> {
  const seen = new Promise<void>((resolve) => {
    const look = () => output().includes(text) && resolve()
    child.stdout?.on('data', look)
    child.stderr?.on('data', look)
    look()
  })
  const ended = exit.then(() => {
    throw new Error(`it ended without saying «${text}»: ${output()}`)
  })
  await Promise.race([seen, ended])
  ended.catch(() => {})
}

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  server.close()
  await once(server, 'close')
  return port
}
