import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { Base, type TAP } from 'tap'
import type { TestServer } from './test-server.ts'

export type Pool = {
  /** Runs the test files, as many at a time as there are processes, each as a subtest. */
  run(t: TAP, files: string[]): Promise<unknown>
  /** Why the run failed beyond assertions: a line for each file and process. */
  failures: string[]
  /** The CPU time of the files in the processes that ran them: not that of PostgreSQL and of processes they started. */
  cpuSeconds: Map<string, number>
  /** Lets the processes end. */
  close(): Promise<void>
  /** Kills the processes. */
  kill(): void
}

/** Messages of a process: a request for a file, its TAP and timeout, and that the file is done. */
type Heard = {
  asks?: 'server'
  tap?: string
  timeout?: number
  done?: true
  passed?: boolean
  reusable?: boolean
  cpu?: number
}

const shard = join(import.meta.dirname, 'shard.ts')
// Test files create much that lives as long as one of them: with V8's default of 16 MiB, a fifth of the time is spent on
// collecting garbage.
const execArgv = ['--max-semi-space-size=64']
/** For each file; in seconds in the environment, as tap has it. */
const timeoutMs = Number(process.env.TAP_TIMEOUT ?? 300) * 1000
const graceMs = 20_000

/** Processes that run test files. A process in which a file crashed or hung is replaced. */
export function createPool(
  size: number,
  env: NodeJS.ProcessEnv,
  openServer: () => Promise<TestServer>,
): Pool {
  const all = new Set<ChildProcess>()
  const idle = new Set<ChildProcess>()
  const failures: string[] = []
  const cpuSeconds = new Map<string, number>()
  let killed = false

  const start = () => {
    const child = fork(shard, { env, execArgv })
    all.add(child)
    child.on('message', async ({ asks }: Heard) => {
      if (!asks) return
      const server = await openServer()
      if (child.connected) child.send({ server })
    })
    child.on('exit', (code, signal) => {
      all.delete(child)
      idle.delete(child)
      if (code !== 0 && !killed)
        failures.push(`a process that ran test files ended with ${signal ?? `code ${code}`}`)
    })
    return child
  }
  while (idle.size < size) idle.add(start())

  class TestFile extends Base {
    override main(done: () => void): void {
      if (killed) {
        this.parser.abort('the run was stopped')
        done()
        return
      }
      const [child = start()] = idle
      idle.delete(child)
      let deadline: NodeJS.Timeout | undefined
      const finish = (reusable: boolean) => {
        clearTimeout(deadline)
        child.off('message', hear).off('exit', die)
        if (reusable) idle.add(child)
        done()
      }
      const hear = ({ tap, timeout, done, passed, reusable = false, cpu = 0 }: Heard) => {
        if (tap !== undefined) this.parser.write(tap)
        if (timeout) {
          clearTimeout(deadline)
          deadline = setTimeout(() => child.kill('SIGKILL'), timeout + graceMs)
        }
        if (done) {
          cpuSeconds.set(this.name, cpu)
          this.parser.end()
          if (!passed) {
            // Errors thrown by a teardown come too late to be an assertion.
            this.parser.ok = false
            failures.push(`${this.name} failed`)
          }
          finish(reusable)
        }
      }
      const die = (code: number | null, signal: string | null) => {
        this.parser.abort(`the process ended with ${signal ?? `code ${code}`} in the middle of ${this.name}`)
        finish(false)
      }
      child.on('message', hear).on('exit', die)
      child.send({ run: this.name, timeout: timeoutMs })
    }
  }

  return {
    failures,
    cpuSeconds,
    run(t, files) {
      t.jobs = size
      return Promise.all(files.map((name) => t.sub(TestFile, { name, buffered: true, at: null, stack: '' })))
    },
    async close() {
      const exits = [...all].map((child) => once(child, 'exit'))
      for (const child of idle) child.disconnect()
      await Promise.all(exits)
    },
    kill() {
      killed = true
      for (const child of all) child.kill('SIGKILL')
    },
  }
}
