import { readdirSync, readFileSync } from 'node:fs'

/** In /proc, Linux counts in hundredths of a second. */
const ticksPerSecond = 100

/** Processor time of a process and everything that it started, in seconds; undefined on systems without /proc. */
export function cpuSeconds(pid: number): number | undefined {
  if (process.platform !== 'linux') return undefined
  const all = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => usageOf(Number(name)) ?? [])
  const ticksOf = (id: number): number =>
    all
      .filter(({ parent }) => parent === id)
      .reduce((sum, child) => sum + ticksOf(child.pid), all.find(({ pid }) => pid === id)?.ticks ?? 0)
  return ticksOf(pid) / ticksPerSecond
}

/** Its own ticks and those of its children that have ended: proc_pid_stat(5), from field 3 on. */
function usageOf(pid: number): { pid: number; parent: number; ticks: number } | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1')
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
    const ticks = fields.slice(11, 15).reduce((sum, field) => sum + Number(field), 0)
    return { pid, parent: Number(fields[1]), ticks }
  } catch {
    // It has ended.
    return undefined
  }
}
