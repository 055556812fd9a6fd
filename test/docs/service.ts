import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Test } from 'tap'
import { copyPrepared } from '../support/embedded.ts'
import { freePort, said } from '../support/process.ts'

export type Service = {
  port: number
  folder: string
  /** Its output at startup. */
  welcome: string
  /** Runs a script as if it were pasted into a terminal in the service's folder. */
  paste(shell: string, script: string): Promise<string>
  stop(): Promise<number | null>
}

/** Starts a Counterfoil with only its port configured, as `command` in `folder`, with a prepared database if it has none. */
export async function startService(t: Test, command: string[], folder: string): Promise<Service> {
  const port = await freePort()
  if (!existsSync(join(folder, '.counterfoil'))) await copyPrepared(join(folder, '.counterfoil'))
  const env = {
    HOME: folder,
    PATH: process.env.PATH,
    NODE_COMPILE_CACHE: process.env.NODE_COMPILE_CACHE,
    PORT: `${port}`,
    LOG_LEVEL: 'warn',
    SHUTDOWN_GRACE_SECONDS: '0',
  }
  const child = spawn('env', withoutTap(command), { cwd: folder, env, stdio: ['ignore', 'pipe', 'pipe'] })
  const exit = once(child, 'exit').then(([code, signal]) => ({ code, signal }))
  const stop = async () => {
    child.kill('SIGTERM')
    return (await exit).code
  }
  t.teardown(stop)
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text
    })
  }
  await said({ child, exit, output: () => output }, 'Stop it with Ctrl-C')
  const paste = async (shell: string, script: string) => {
    // As input, like in a terminal: a command that reads from there takes the lines that follow it.
    const pasting = promisify(execFile)(shell, ['-s'], { cwd: folder })
    pasting.child.stdin?.end(`${script.replaceAll(':7662', `:${port}`)}\n`)
    return (await pasting).stdout
  }
  return { port, folder, welcome: output, paste, stop }
}

export async function newFolder(t: Test): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'counterfoil-folder-'))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  // The embedded PostgreSQL does not run as root and has to pass through.
  await chmod(folder, 0o755)
  return folder
}

/**
 * Arguments of env(1) for a program that should run as it would outside of tap, which makes every Node load its hooks.
 */
export function withoutTap(command: string[]): string[] {
  return ['-u', 'NODE_OPTIONS', ...command]
}
