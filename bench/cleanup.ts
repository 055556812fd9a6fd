import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { pinned } from './cores.ts'

const undo: (() => unknown)[] = []

/** Registers an action for the end of the run, whether it succeeds or fails. Actions run in reverse order. */
export function atEnd(action: () => unknown): void {
  undo.push(action)
}

export function cleanUp(): Promise<void> {
  cleaning ??= undoAll().finally(() => {
    cleaning = undefined
  })
  return cleaning
}

let cleaning: Promise<void> | undefined

async function undoAll(): Promise<void> {
  for (let action = undo.pop(); action; action = undo.pop()) {
    try {
      await action()
    } catch (error) {
      console.error(`While cleaning up: ${(error as Error).message}`)
    }
  }
}

/**
 * Starts a Node process on the given cores; `args` are Node's flags followed by the program. It does not outlive the
 * run.
 */
export function startNode(
  where: string,
  args: string[],
  env: NodeJS.ProcessEnv,
  { ipc }: { ipc: boolean },
): ChildProcess {
  const [command, rest] = pinned(where, process.execPath, args)
  const child = spawn(command, rest, {
    env: { PATH: process.env.PATH, NODE_ENV: 'production', ...env },
    stdio: ['ignore', 'ignore', 'pipe', ...(ipc ? (['ipc'] as const) : [])],
  })
  // Peers print warnings at every start; their output matters only if they fail.
  let output = ''
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    output = (output + text).slice(-2000)
  })
  child.on('exit', (code) => {
    if (code) console.error(`node ${args.join(' ')} ended with code ${code}\n${output}`)
  })
  atEnd(() => stop(child))
  return child
}

export async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exited = once(child, 'exit')
  child.kill('SIGTERM')
  const killTimer = setTimeout(() => child.kill('SIGKILL'), 10_000)
  await exited
  clearTimeout(killTimer)
}

/** The next message of the process; rejects if the process ends instead. */
export async function firstMessage<T>(child: ChildProcess): Promise<T> {
  const waiting = new AbortController()
  const { signal } = waiting
  const ended = once(child, 'exit', { signal }).then(() => {
    throw new Error('a process of the benchmark ended too early')
  })
  try {
    const [message] = await Promise.race([once(child, 'message', { signal }), ended])
    return message
  } finally {
    ended.catch(() => undefined)
    waiting.abort()
  }
}
