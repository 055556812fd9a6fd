import { execFileSync } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import type { Test } from 'tap'
import { type Run, run } from './process.ts'
import { until } from './until.ts'

const namespace = ['unshare', '--fork', '--pid', '--mount-proc', '--kill-child']

/** Whether a process can be started as the first of a PID namespace here, as in a container. */
export function canBeProcessOne(): boolean {
  try {
    execFileSync('unshare', [...namespace.slice(1), 'true'], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

/** Like `run`, but as process 1: signals without a handler are ignored. */
export function runAsProcessOne(
  t: Test,
  args: string[],
  env: Record<string, string>,
): Run & { kill(signal: NodeJS.Signals): Promise<void> } {
  const started = run(t, args, env, namespace)
  const { pid } = started.child
  return {
    ...started,
    async kill(signal) {
      const children = async () => readFile(`/proc/${pid}/task/${pid}/children`, 'utf8')
      process.kill(Number.parseInt(await until(children), 10), signal)
    },
  }
}
