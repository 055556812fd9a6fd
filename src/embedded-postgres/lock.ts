import { chmod } from 'node:fs/promises'
import { join } from 'node:path'
import type { DatabaseSync } from 'node:sqlite'
import { DirectoryInUseError, EmbeddedError } from './error.ts'

// Keeps references: a lock ends with its connection, and an unreferenced connection is garbage collected.
const held = new Set<DatabaseSync>()

/**
 * Makes this process the only Counterfoil using dataDir until it unlocks or dies. The operating system holds the lock,
 * so it can neither become stale nor be attributed to a recycled process id. SQLite is the one API of Node that takes
 * such locks. Opening and closing the file any other way in this process would release it.
 */
export async function lockDirectory(dataDir: string): Promise<() => void> {
  const { DatabaseSync } = await import('node:sqlite')
  const file = join(dataDir, 'lock')
  let lock: DatabaseSync | undefined
  try {
    lock = new DatabaseSync(file)
    lock.exec('pragma journal_mode = memory; begin exclusive')
    await chmod(file, 0o600)
  } catch (error) {
    lock?.close()
    const { errcode, message } = error as Error & { errcode?: number }
    if (errcode === 5) throw new DirectoryInUseError(`another Counterfoil is using ${dataDir}`)
    throw new EmbeddedError(`cannot lock ${file}: ${message}`)
  }
  const taken = lock
  held.add(taken)
  return () => {
    if (held.delete(taken)) taken.close()
  }
}
