import type { ChildProcess } from 'node:child_process'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { startNode, stop } from './cleanup.ts'
import { cores } from './cores.ts'
import { ask, freePort } from './http.ts'

export type Service = { port: number; pid: number; startMs: number; stop(): Promise<void> }

// The built program with the same flags as in the image.
export const program = join(import.meta.dirname, '..', 'dist', 'src', 'server.js')
const flags = ['--max-semi-space-size=8', '--initial-heap-size=100', '--no-allocation-site-pretenuring']
const timeoutMs = 60_000

/** Starts Counterfoil with `env` as its configuration; resolves when it is ready. */
export async function startService(env: Record<string, string>, where = cores.server): Promise<Service> {
  const port = await freePort()
  const start = performance.now()
  const child = startNode(where, [...flags, program], { PORT: String(port), ...env }, { ipc: false })
  await ready(child, port)
  const startMs = performance.now() - start
  return { port, pid: child.pid ?? 0, startMs, stop: () => stop(child) }
}

async function ready(child: ChildProcess, port: number): Promise<void> {
  const start = performance.now()
  while (performance.now() - start < timeoutMs) {
    if (child.exitCode !== null) break
    const reply = await ask(port, 'GET', '/readyz').catch(() => undefined)
    if (reply?.status === 200) return
    await delay(5)
  }
  throw new Error('Counterfoil did not become ready')
}
