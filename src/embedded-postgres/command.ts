import { type ChildProcess, type StdioOptions, spawn } from 'node:child_process'

/** The operating system user that runs a command; by default the current one. */
export type Account = { prefix: string[]; uid?: number; gid?: number }

/**
 * A separate session keeps the terminal's Ctrl-C from stopping the database before we do. The environment is not passed
 * on: it contains secrets, and PG* variables would change what the server does.
 */
export function spawnAs(
  account: Account,
  file: string,
  args: string[],
  { stdio, signal }: { stdio: StdioOptions; signal?: AbortSignal | undefined },
): ChildProcess {
  const { prefix, ...ids } = account
  const [command, ...rest] = [...prefix, file, ...args] as [string, ...string[]]
  const env = { PATH: '/usr/bin:/bin:/usr/sbin:/sbin', LC_ALL: 'C' }
  return spawn(command, rest, { ...ids, stdio, env, signal, cwd: '/', detached: true, windowsHide: true })
}

type Result = { code: number; output: string }

/** Runs a command until it ends or is aborted; code -1 means that it could not be started. */
export function run(account: Account, file: string, args: string[], signal?: AbortSignal): Promise<Result> {
  const result = new Promise<Result>((resolve, reject) => {
    const child = spawnAs(account, file, args, { stdio: ['ignore', 'pipe', 'pipe'], signal })
    let output = ''
    const collect = (chunk: string) => {
      output += chunk
    }
    child.stdout?.setEncoding('utf8').on('data', collect)
    child.stderr?.setEncoding('utf8').on('data', collect)
    child.once('error', reject)
    child.once('close', (code) => resolve({ code: code ?? -1, output }))
  })
  return result.catch((error) => ({ code: -1, output: error.message }))
}

/** The useful part of PostgreSQL's output: the last error and what led to it, without time stamps. */
export function gist(output: string): string {
  const lines = output
    .split('\n')
    .map((line) => line.replace(/^[-\d]+ [:.\d]+ \S+ \[\d+\] /, '').trim())
    // Responses to our own readiness probes.
    .filter((line) => line && !line.startsWith('FATAL:  the database system is'))
  const lastError = lines.findLastIndex((line) => /^(FATAL|PANIC|ERROR|DETAIL|HINT):/.test(line))
  return (lastError < 0 ? lines : lines.slice(0, lastError + 1)).slice(-3).join('; ')
}
