import { chmod, readFile, realpath, stat } from 'node:fs/promises'
import { platform } from 'node:os'
import { join } from 'node:path'
import { chooseAccount, currentUid, type Owner } from './account.ts'
import type { Binaries } from './binaries.ts'
import type { Account } from './command.ts'
import { DataDirectoryError, EmbeddedError } from './error.ts'
import { createCluster } from './initdb.ts'

/** A PostgreSQL data directory, and what is needed to run a server in it. */
export type Cluster = {
  directory: string
  log: string
  password: string
  account: Account
  binaries: Binaries
}

/** Opens the cluster in dataDir, creating it if needed. The caller must hold the directory's lock. */
export async function openCluster(
  dataDir: string,
  binaries: Binaries,
  initdbOptions: readonly string[],
  shutdown: AbortSignal,
): Promise<Cluster> {
  const directory = join(dataDir, 'postgres')
  const passwordFile = join(dataDir, 'postgres-password')
  const owner = await findOwner(directory)
  const account = await chooseAccount(dataDir, binaries.postgres, owner)
  if (!owner) {
    const paths = { dataDir, directory, passwordFile }
    await createCluster(paths, account, { initdb: binaries.initdb, more: initdbOptions }, shutdown)
  }
  // PostgreSQL refuses a looser mode, which copying or a volume mount often causes.
  await chmod(directory, 0o700)
  return {
    directory: await realpath(directory),
    log: join(dataDir, 'postgres.log'),
    password: await readPassword(passwordFile),
    account,
    binaries,
  }
}

async function readPassword(file: string): Promise<string> {
  const password = (await readFile(file, 'utf8')).trim()
  if (password) return password
  throw new DataDirectoryError(
    `${file} is empty but must contain the password of the embedded PostgreSQL: restore it from a backup.`,
  )
}

async function findOwner(directory: string): Promise<Owner | undefined> {
  const found = await stat(directory).catch((error) => {
    if (error.code === 'ENOENT') return undefined
    throw error
  })
  if (!found) return undefined
  const { uid, gid } = found
  const us = currentUid()
  if (platform() === 'win32' || us === 0 || us === uid) return { uid, gid }
  throw new EmbeddedError(
    `${directory} belongs to user ${uid}: start Counterfoil as that user, or with another directory`,
  )
}
