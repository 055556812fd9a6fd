import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import type { Cluster } from './cluster.ts'
import { EmbeddedError } from './error.ts'
import { startPostmaster } from './postmaster.ts'
import { connection } from './probe.ts'

/** Before the second and the third attempt. */
const pausesMs = [1_000, 4_000]

/**
 * Restarts a server that ends, on the same port, where this process and its workers expect it. Resolves once it is
 * stopped; rejects if the server cannot be restarted.
 */
export async function supervise(
  cluster: Cluster,
  port: number,
  stopping: AbortSignal,
  onRestart: () => void,
): Promise<void> {
  for (;;) {
    await connectionLost(cluster, port, stopping)
    if (stopping.aborted) return
    await restart(cluster, port, stopping)
    if (stopping.aborted) return
    onRestart()
  }
}

/** An adopted server is not a child of this process, so its end is detected by a lost connection. */
async function connectionLost(cluster: Cluster, port: number, stopping: AbortSignal): Promise<void> {
  const client = connection(cluster, port)
  const lost = once(client, 'end', { signal: stopping })
  await Promise.all([client.connect(), lost]).catch(() => undefined)
  await client.end().catch(() => undefined)
}

async function restart(cluster: Cluster, port: number, stopping: AbortSignal): Promise<void> {
  for (let attempt = 0; !stopping.aborted; attempt++) {
    try {
      const found = await startPostmaster(cluster, stopping, port)
      if (found === port) return
      throw new EmbeddedError(`another PostgreSQL server was started in ${cluster.directory}`)
    } catch (error) {
      const pauseMs = pausesMs[attempt]
      if (stopping.aborted) return
      if (pauseMs === undefined) throw error
      await delay(pauseMs, undefined, { signal: stopping }).catch(() => undefined)
    }
  }
}
