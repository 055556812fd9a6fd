import { randomBytes } from 'node:crypto'
import { chown, mkdtemp, open, readdir, rename, rm, writeFile } from 'node:fs/promises'
import { platform } from 'node:os'
import { join } from 'node:path'
import { type Account, gist, run } from './command.ts'
import { EmbeddedError } from './error.ts'

type ClusterPaths = { dataDir: string; directory: string; passwordFile: string }

const draftPrefix = 'postgres.new-'

const options = [
  '--username=postgres',
  '--auth=scram-sha-256',
  '--data-checksums',
  '--encoding=UTF8',
  '--no-locale',
  '--locale-provider=builtin',
  '--builtin-locale=C.UTF-8',
  // Defaults that operators may change in postgresql.conf; required settings are on the server's command line.
  '--set=max_connections=200',
  '--set=timezone=UTC',
  '--set=log_timezone=UTC',
  '--set=log_checkpoints=off',
]

/**
 * The cluster is created under a temporary name and renamed when complete, so that a crash leaves no partial cluster.
 * Names are never reused: an initdb that outlived its Counterfoil may still be writing to the previous one.
 */
export async function createCluster(
  paths: ClusterPaths,
  account: Account,
  { initdb, more }: { initdb: string; more: readonly string[] },
  shutdown: AbortSignal,
): Promise<void> {
  const { dataDir, directory, passwordFile } = paths
  await removeDrafts(dataDir)
  await writePassword(passwordFile)
  const draft = await mkdtemp(join(dataDir, draftPrefix))
  const { uid, gid } = account
  if (uid !== undefined && gid !== undefined) {
    await chown(passwordFile, uid, gid)
    await chown(draft, uid, gid)
  }
  const files = ['--pgdata', draft, '--pwfile', passwordFile]
  const result = await run(account, initdb, [...files, ...options, ...more], shutdown)
  if (result.code !== 0)
    throw new EmbeddedError(`PostgreSQL could not create its data directory: ${gist(result.output)}`)
  await rename(draft, directory)
  await syncDirectory(dataDir)
}

async function removeDrafts(dataDir: string): Promise<void> {
  for (const name of await readdir(dataDir)) {
    if (name.startsWith(draftPrefix)) await rm(join(dataDir, name), { recursive: true, maxRetries: 5 })
  }
}

async function writePassword(file: string): Promise<void> {
  const password = randomBytes(24).toString('base64url')
  await rm(file, { force: true })
  await writeFile(file, `${password}\n`, { flag: 'wx', mode: 0o600, flush: true })
}

// Without it, a power failure could undo the rename, and lose what has been written to the cluster since.
async function syncDirectory(path: string): Promise<void> {
  if (platform() === 'win32') return
  const handle = await open(path)
  await handle.sync().finally(() => handle.close())
}
