import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { Base, type TAP } from 'tap'
import type { TestServer } from './test-server.ts'

export type Pool = {
  /** Runs the test files, as many at a time as there are processes, each as a subtest. */
  run(t: TAP, files: string[]): Promise<unknown>
  /** Lets the processes end; whether all of them did. */
  close(): Promise<boolean>
  /** Ends the processes with what they are doing. */
  kill(): void
}

/** What a process says: what it asks for, its file's TAP and timeout, and that the file is done. */
type Heard = {
  asks?: 'server'
  tap?: string
  timeout?: number
  done?: true
  passed?: boolean
  reusable?: boolean
}

const shard = join(import.meta.dirname, 'shard.ts')
const timeoutMs = 300_000
const graceMs = 20_000

/** Processes that run test files; one that a file crashed or hung is replaced. */
export function createPool(
  size: number,
  env: NodeJS.ProcessEnv,
  openServer: () => Promise<TestServer>,
): Pool {
  const all = new Set<ChildProcess>()
  const idle = new Set<ChildProcess>()
  let endedWell = true
  let killed = false

  const start = () => {
    const child = fork(shard, { env })
    all.add(child)
    child.on('message', async ({ asks }: Heard) => {
      if (!asks) return
      const server = await openServer()
      if (child.connected) child.send({ server })
    })
    child.on('exit', (code) => {
      all.delete(child)
      idle.delete(child)
      endedWell &&= code === 0
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
      const hear = ({ tap, timeout, done, passed, reusable = false }: Heard) => {
        if (tap !== undefined) this.parser.write(tap)
        if (timeout) {
          clearTimeout(deadline)
          deadline = setTimeout(() => child.kill('SIGKILL'), timeout + graceMs)
        }
        if (done) {
          this.parser.end()
          // What a teardown throws comes too late to be an assertion.
          if (!passed) this.parser.ok = false
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
    run(t, files) {
      t.jobs = size
      return Promise.all(files.map((name) => t.sub(TestFile, { name, buffered: true, at: null, stack: '' })))
    },
    async close() {
      const exits = [...all].map((child) => once(child, 'exit'))
      for (const child of idle) child.disconnect()
      await Promise.all(exits)
      return endedWell
    },
    kill() {
      killed = true
      for (const child of all) child.kill('SIGKILL')
    },
  }
}
