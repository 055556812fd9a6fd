import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { constants, cpus, setPriority } from 'node:os'

const count = cpus().length
const canPin = count > 1 && process.platform === 'linux' && hasTaskset()

/**
 * CPU affinity. The server under test has a core to itself, and so does the load generator, which shares its core with
 * the database only if there is no third. Two workers get two cores. The harness is mostly idle and runs on the load
 * generator's core.
 */
export const cores = {
  generator: '0',
  server: '1',
  database: count > 2 ? `2-${count - 1}` : '0',
  twoServers: count > 3 ? '1,2' : '0,1',
  all: `0-${count - 1}`,
}

export const pinning = canPin
  ? `${count} cores: the server on one, the load generator on another, ${count > 2 ? 'the database on the rest' : 'which the database shares'}`
  : `${count} cores, no processor affinity on this system`

/** A command line that keeps the program on these cores, on systems that support it. */
export function pinned(where: string, command: string, args: string[]): [string, string[]] {
  return canPin ? ['taskset', ['-c', where, command, ...args]] : [command, args]
}

/** Moves a running process, and everything it starts from then on. */
export function pin(where: string, pid: number): void {
  if (canPin) execFileSync('taskset', ['-a', '-p', '-c', where, String(pid)], { stdio: 'ignore' })
}

/**
 * Gives the load generator priority over a database on the same core: while the generator waits, the server idles.
 * Linux may divide a core among sessions rather than processes, and every PostgreSQL process is a session.
 */
export function putBehindGenerator(databaseProcess: number): void {
  if (!canPin || cores.database !== cores.generator) return
  try {
    setPriority(databaseProcess, constants.priority.PRIORITY_LOW)
    writeFileSync(`/proc/${databaseProcess}/autogroup`, String(constants.priority.PRIORITY_LOW))
  } catch {
    // The process has ended, or the system has no autogroups.
  }
}

/**
 * Starts measuring the server's core; the returned function returns the share of the time since then in which it was
 * busy.
 */
export function watchServerCore(): () => number | undefined {
  const start = times()
  return () => {
    const end = times()
    const total = end.total - start.total
    return canPin && total > 0 ? 1 - (end.idle - start.idle) / total : undefined
  }
}

function times(): { idle: number; total: number } {
  const core = cpus()[Number(cores.server)]?.times ?? { user: 0, nice: 0, sys: 0, idle: 0, irq: 0 }
  return { idle: core.idle, total: Object.values(core).reduce((sum, time) => sum + time, 0) }
}

function hasTaskset(): boolean {
  try {
    execFileSync('taskset', ['--version'], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}
