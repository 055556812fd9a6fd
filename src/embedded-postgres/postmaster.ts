import { once } from 'node:events'
import { open, readFile, rm, stat } from 'node:fs/promises'
import { createServer } from 'node:net'
import { platform } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { Cluster } from './cluster.ts'
import { gist, run, spawnAs } from './command.ts'
import { EmbeddedError } from './error.ts'
import { probe } from './probe.ts'

// A free port that was taken before PostgreSQL got to it, a server that a dying Counterfoil launched and that comes
// up while we launch ours, and processes of a killed server that are about to notice: all of these pass.
const passing = /could not bind|lock file|shared memory block/

/**
 * The port of the server at work in the cluster: one that outlived its Counterfoil, or else a new one, on this port if
 * one is given.
 */
export async function startPostmaster(
  cluster: Cluster,
  shutdown: AbortSignal,
  port?: number,
): Promise<number> {
  const limit = AbortSignal.any([shutdown, AbortSignal.timeout(60_000)])
  for (;;) {
    await removeStalePidFile(cluster)
    const running = (await settle(cluster, limit)) ?? (await launch(cluster, shutdown, port))
    if (running) return running
    shutdown.throwIfAborted()
    const log = await readFile(cluster.log, 'utf8')
    if (limit.aborted || !passing.test(log)) throw new EmbeddedError(`PostgreSQL did not start: ${gist(log)}`)
    await delay(100)
  }
}

/** Fast shutdown: breaks off what is running, and returns when everything is on disk. */
export async function stopPostmaster(cluster: Cluster): Promise<void> {
  await removeStalePidFile(cluster)
  const { account, binaries, directory } = cluster
  const stop = await run(account, binaries.pg_ctl, ['stop', '-D', directory, '-m', 'fast', '-t', '600', '-s'])
  if (stop.code === 0) return
  const notRunning = 3
  const status = await run(account, binaries.pg_ctl, ['status', '-D', directory])
  if (status.code !== notRunning) throw new EmbeddedError(`PostgreSQL did not stop: ${gist(stop.output)}`)
}

// A server that is starting up or shutting down is waited for: it will be ready, or gone.
async function settle(cluster: Cluster, limit: AbortSignal): Promise<number | undefined> {
  while (!limit.aborted) {
    const state = await probe(cluster)
    if (state !== 'busy') return typeof state === 'number' ? state : undefined
    await delay(50)
  }
  return undefined
}

async function launch(
  cluster: Cluster,
  shutdown: AbortSignal,
  given: number | undefined,
): Promise<number | undefined> {
  const port = given ?? (await freePort())
  await rm(cluster.log, { force: true })
  const log = await open(cluster.log, 'ax', 0o600)
  const server = spawnAs(
    cluster.account,
    cluster.binaries.postgres,
    // No Unix socket: its path may be no longer than 107 bytes, and data directories are.
    ['-D', cluster.directory, '-p', `${port}`, '-h', '127.0.0.1', '-c', 'unix_socket_directories='],
    ['ignore', log.fd, log.fd],
  )
  await once(server, 'spawn').finally(() => log.close())
  // No time limit: recovery after a crash takes as long as it takes, and ends one way or the other.
  while (!shutdown.aborted && server.exitCode === null && server.signalCode === null) {
    const state = await probe(cluster)
    if (typeof state === 'number') {
      server.unref()
      return state
    }
    if (state === 'stranger') break
    await delay(25)
  }
  if (server.exitCode === null && server.kill('SIGINT')) await once(server, 'exit')
  return undefined
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  return typeof address === 'object' && address ? address.port : 0
}

/**
 * PostgreSQL takes any live process of its user with the recorded id for a server, and pg_ctl would even signal
 * it; ids are recycled, in containers almost surely. A server works inside its cluster, so Linux can tell.
 */
async function removeStalePidFile(cluster: Cluster): Promise<void> {
  if (platform() !== 'linux') return
  const file = join(cluster.directory, 'postmaster.pid')
  const pid = Number.parseInt(await readFile(file, 'utf8').catch(() => ''), 10) || 0
  const home = await stat(cluster.directory)
  const stale = await stat(`/proc/${pid}/cwd`).then(
    (workplace) => workplace.ino !== home.ino || workplace.dev !== home.dev,
    (error) => ['ENOENT', 'ESRCH'].includes(error.code),
  )
  if (stale) await rm(file, { force: true })
}
