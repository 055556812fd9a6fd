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

// Temporary errors: a free port that was taken in the meantime, a server that a dying Counterfoil launched just before,
// and processes of a killed server that have yet to exit.
const passing = /could not bind|lock file|shared memory block/

/**
 * Returns the port of the cluster's running server: one that outlived its Counterfoil, or a new one, on this port if
 * given.
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

/** Fast shutdown: aborts what is running, and returns when everything is on disk. */
export async function stopPostmaster(cluster: Cluster): Promise<void> {
  await removeStalePidFile(cluster)
  const { account, binaries, directory } = cluster
  const stop = await run(account, binaries.pg_ctl, ['stop', '-D', directory, '-m', 'fast', '-t', '600', '-s'])
  if (stop.code === 0) return
  const notRunning = 3
  const status = await run(account, binaries.pg_ctl, ['status', '-D', directory])
  if (status.code !== notRunning) throw new EmbeddedError(`PostgreSQL did not stop: ${gist(stop.output)}`)
}

// Waits for a server that is starting up or shutting down until it is ready or gone.
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
    // No Unix socket: its path is limited to 107 bytes, and data directories can be longer.
    ['-D', cluster.directory, '-p', `${port}`, '-h', '127.0.0.1', '-c', 'unix_socket_directories='],
    { stdio: ['ignore', log.fd, log.fd] },
  )
  await once(server, 'spawn').finally(() => log.close())
  // No time limit: crash recovery takes as long as it needs, and always ends.
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
 * PostgreSQL takes any live process of its user with the recorded id for a server, and pg_ctl would even signal it. Ids
 * are recycled, in containers almost certainly. On Linux, the working directory of the process shows whether it is the
 * server of this cluster.
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
