import { access, constants, mkdir, realpath } from 'node:fs/promises'
import { currentUid } from './account.ts'
import { type ApplicationUrls, prepareApplicationDatabase } from './application.ts'
import { findBinaries } from './binaries.ts'
import { type Cluster, openCluster } from './cluster.ts'
import { DataDirectoryError } from './error.ts'
import { lockDirectory } from './lock.ts'
import { startPostmaster, stopPostmaster } from './postmaster.ts'
import { supervise } from './supervisor.ts'

export type EmbeddedServer = {
  /** As the role that owns the tables. */
  url: string
  /** As the role that serves. */
  serviceUrl: string
  /** Restarts the server whenever it ends, until `stop`; rejects if that fails. Call it once. */
  supervise(onRestart: () => void): Promise<void>
  stop(): Promise<void>
}

/**
 * Starts (or adopts) the PostgreSQL server of dataDir; resolves when it accepts connections. A missing data directory
 * is created with our initdb options and these. A shutdown in the meantime aborts the start.
 */
export async function startEmbedded(
  dataDir: string,
  initdbOptions: readonly string[] = [],
  shutdown = new AbortController().signal,
): Promise<EmbeddedServer> {
  const binaries = await findBinaries()
  const home = await openDirectory(dataDir)
  const unlock = await lockDirectory(home)
  try {
    const cluster = await openCluster(home, binaries, initdbOptions, shutdown)
    const urls = await startServer(cluster, shutdown)
    const stopping = new AbortController()
    let supervision: Promise<void> | undefined
    let stopped: Promise<void> | undefined
    const stop = async () => {
      stopping.abort()
      // Wait for a restart in progress, so that its server is stopped too.
      await supervision?.catch(() => undefined)
      await stopPostmaster(cluster).finally(unlock)
    }
    return {
      ...urls,
      supervise(onRestart) {
        supervision = supervise(cluster, Number(new URL(urls.url).port), stopping.signal, onRestart)
        return supervision
      },
      stop() {
        stopped ??= stop()
        return stopped
      },
    }
  } catch (error) {
    unlock()
    throw inWords(error, dataDir)
  }
}

async function openDirectory(dataDir: string): Promise<string> {
  // As root, the server runs as another user, who must be able to traverse the directory but not to list it.
  const mode = currentUid() === 0 ? 0o711 : 0o700
  try {
    await mkdir(dataDir, { recursive: true, mode })
    await access(dataDir, constants.R_OK | constants.W_OK | constants.X_OK)
    return await realpath(dataDir)
  } catch (error) {
    throw inWords(error, dataDir)
  }
}

async function startServer(cluster: Cluster, shutdown: AbortSignal): Promise<ApplicationUrls> {
  const port = await startPostmaster(cluster, shutdown)
  try {
    return await prepareApplicationDatabase(cluster, port)
  } catch (error) {
    await stopPostmaster(cluster)
    throw error
  }
}

function inWords(error: unknown, dataDir: string): unknown {
  if (!(error instanceof Error && 'syscall' in error && 'code' in error)) return error
  return new DataDirectoryError(
    `the embedded PostgreSQL cannot use DATA_DIR, ${dataDir} (${error.message}): ` +
      'start Counterfoil as the owner of that directory, or use another one.',
    { cause: error },
  )
}
